#!/usr/bin/env bash
# The exported C on every machine at hand: all maps of the shipped model and of PROGRAMS random programs (default 100)
# against the reference. Prints a table; a machine without a compiler or an emulator is named as not run. Every program
# is a file of its own and compiled for every row, JOBS (default 2) at a time: a quarter of an hour on two cores.
#
#     PYTHON=.venv/bin/python PROGRAMS=100 TARGETS="portable simd" scripts/verify_export.sh
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
programs=${PROGRAMS:-100}
jobs=${JOBS:-2}
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
export ASAN_OPTIONS=detect_leaks=0 # nothing is allocated

# build TARGET COMPILER...: compile everything, link it as ./program in the current folder.
build() {
    local sources=("$work/$1"/*.c)
    shift
    [[ "$*" == *-mcpu=cortex* ]] && sources+=("$here/scripts/cortex_m/start.c")
    printf '%s\0' "${sources[@]}" | xargs -0 -n 4 -P "$jobs" "$@" -c && "$@" ./*.o -o program
}

# row TARGET NAME COMPILER... -- RUNNER...: compile all, run, print a row.
row() {
    local target=$1 name=$2 compiler=() result version
    shift 2
    while [ "$1" != -- ]; do compiler+=("$1"); shift; done
    shift
    if ! command -v "${compiler[0]}" >/dev/null || { [ $# -gt 0 ] && ! command -v "$1" >/dev/null; }; then
        printf '| %s, %s | %s | not run: not installed | | |\n' "$name" "$target" "${compiler[*]}"
        return
    fi
    version=$("${compiler[0]}" --version | head -1 | grep -oE '[0-9]+\.[0-9.]+[0-9]' | head -1)
    result=$(
        folder=$(mktemp -d "$work/row.XXXXXX") && cd "$folder" || exit 1
        build "$target" "${compiler[@]}" -std=c99 @"$work/$target/defines" -I"$work/$target" 2>&1 &&
            "$@" ./program 2>&1 </dev/null
    ) || failed=1
    result=$(tail -1 <<<"$result")
    compiler=("${compiler[@]##*/}")
    printf '| %s, %s | %s (%s) | %s | %s | %s |\n' "$name" "$target" "${compiler[*]//$here\//}" "$version" "${1:-native}" \
        "$(grep -oE '^[0-9]+ maps' <<<"$result" || echo "$result")" "$(grep -oE '[0-9]+ differences' <<<"$result")"
    rm -rf "$work"/row.*
}

sanitize=(-fsanitize=address,undefined -fno-sanitize-recover=all)
bare=(-mthumb -T "$here/scripts/cortex_m/link.ld" -nostartfiles --specs=rdimon.specs)
board() { echo qemu-system-arm -M "$1" -nographic -semihosting -kernel; }

echo '| target | compiler | run by | compared | differences |'
echo '|---|---|---|---|---|'
for target in ${TARGETS:-portable simd}; do
    mkdir "$work/$target"
    "$python" scripts/export_programs.py "$work/$target" "$programs" "$target" || exit 1
    row "$target" aarch64 aarch64-linux-gnu-gcc -O1 -static -- qemu-aarch64
    row "$target" armv7 arm-linux-gnueabihf-gcc -O1 -mfpu=neon -static -- qemu-arm
    if [ "$target" = portable ]; then
        row "$target" x86-64 gcc -O2 --
        row "$target" x86-64 clang -O2 --
        row "$target" 'x86-64, sanitizers' gcc -O1 "${sanitize[@]}" --
        row "$target" riscv64 riscv64-linux-gnu-gcc -O1 -static -- qemu-riscv64
        row "$target" Cortex-M4 arm-none-eabi-gcc -Os -mcpu=cortex-m4 "${bare[@]}" -- $(board mps2-an386)
        row "$target" Cortex-M7 arm-none-eabi-gcc -Os -mcpu=cortex-m7 "${bare[@]}" -- $(board mps2-an500)
    else # the machines above without vectors have the same text as portable
        row "$target" 'x86-64 AVX2' gcc -O2 -mavx2 --
        row "$target" 'x86-64 AVX2' clang -O2 -mavx2 --
        row "$target" 'x86-64 AVX2, sanitizers' gcc -O1 -mavx2 "${sanitize[@]}" --
        row "$target" 'x86-64 SSSE3' gcc -O1 -mssse3 --
    fi
done
exit $failed
