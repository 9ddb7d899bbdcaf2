#!/usr/bin/env bash
# The WebAssembly module of `tinier-yolo export web` from its C: scripts/build_web_module.sh [OUT.wasm]
# Needs the Python package ziglang, a Clang that can link for WebAssembly (pip install ziglang==0.17.1); the same version
# gives the same bytes on every machine, which tests/export/web/test_module.py compares.
set -euo pipefail
cd "$(dirname "$0")/../tinier_yolo/export/web/source"
out=${1:-../module.wasm}
exports=(begin program_words load_program set_size picture place input run_network __heap_base)
"${PYTHON:-python3}" -m ziglang cc -target wasm32-freestanding -mcpu=generic+simd128+relaxed_simd+bulk_memory+sign_ext+nontrapping_fptoint \
    -std=c11 -O3 -DNDEBUG -fno-stack-protector -fno-sanitize=all -Wall -Wextra -Werror -nostdlib \
    -Wl,--no-entry,--strip-all,--gc-sections,-z,stack-size=65536 "${exports[@]/#/-Wl,--export=}" \
    module.c network.c kernel.c image.c letterbox.c -o "$out"
echo "$out: $(wc -c <"$out") bytes"
