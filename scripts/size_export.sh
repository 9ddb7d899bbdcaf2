#!/usr/bin/env bash
# The shipped model as C on every machine at hand: bytes of code and constants, bytes of the arena, and millions of
# instructions that a frame takes, counted by QEMU: on Cortex-M by the board's timer under -icount, elsewhere by a plugin.
#
#     PYTHON=.venv/bin/python SIDES="160 224 320 416" scripts/size_export.sh
set -euo pipefail
cd "$(dirname "$0")/.."

sides=${SIDES:-160 224 320 416}
here=$PWD/scripts
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in portable simd; do
    "${PYTHON:-python3}" -m tinier_yolo export c99 weights/ifq-tinier-yolo-face.ifq -o "$work/$target" --name face \
        --target "$target" >/dev/null
done
cc -O2 -shared -fPIC "$here/frame/qemu_plugin.c" -o "$work/plugin.so"
cd "$work"

# print TARGET NAME COMPILER...: the row's head.
head_of() {
    local target=$1 name=$2
    shift 2
    "$@" -std=c99 -c "$target/face.c" -o face.o
    printf '| %s, %s | %s | %s |' "$name" "$target" "${*##*/}" \
        "$(size -A face.o | awk '/^\.(text|rodata)/ {sum += $2} END {print sum}')"
}

# user TARGET NAME EMULATOR COMPILER...: a row of a machine with an operating system.
user() {
    local target=$1 name=$2 emulator=$3 side one two
    shift 3
    if ! command -v "$emulator" >/dev/null || ! command -v "$1" >/dev/null; then
        echo "| $name, $target | not run: not installed |"
        return
    fi
    head_of "$target" "$name" "$@"
    for side in $sides; do
        "$@" -std=c99 -static -DSIDE="$side" -I"$target" "$here/frame/frames.c" "$target/face.c" -o frames
        one=$("$emulator" -plugin "$work/plugin.so" ./frames 1 2>&1)
        two=$("$emulator" -plugin "$work/plugin.so" ./frames 2 2>&1)
        awk -v n="$((two - one))" 'BEGIN {printf " %.1f |", n / 1e6}'
    done
    echo
}

# board NAME MACHINE OPTION: a row of a Cortex-M.
board() {
    local name=$1 machine=$2 compiler=(arm-none-eabi-gcc -Os -mthumb "$3") side
    local bare=(-T "$here/cortex_m/link.ld" -nostartfiles --specs=rdimon.specs "$here"/cortex_m/start.c)
    if ! command -v qemu-system-arm >/dev/null || ! command -v arm-none-eabi-gcc >/dev/null; then
        echo "| $name, portable | not run: not installed |"
        return
    fi
    head_of portable "$name" "${compiler[@]}"
    for side in $sides; do
        "${compiler[@]}" -std=c99 -DSIDE="$side" -Iportable "${bare[@]}" "$here/frame/cortex_m.c" portable/face.c -o frame
        qemu-system-arm -M "$machine" -nographic -semihosting -icount shift=0 -kernel frame </dev/null |
            awk '{printf " %.1f |", $(NF - 2)}'
    done
    echo
}

echo "| target | compiler | code and constants | ${sides// / | } |"
echo "|---|---|---$(for _ in $sides; do printf "|---"; done)|"
board Cortex-M4 mps2-an386 -mcpu=cortex-m4
board Cortex-M7 mps2-an500 -mcpu=cortex-m7
user portable x86-64 qemu-x86_64 gcc -O2
user portable aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -O2
user portable armv7 qemu-arm arm-linux-gnueabihf-gcc -O2
user portable riscv64 qemu-riscv64 riscv64-linux-gnu-gcc -O2
user simd 'x86-64 AVX2' qemu-x86_64 gcc -O2 -mavx2
user simd 'aarch64 NEON' qemu-aarch64 aarch64-linux-gnu-gcc -O2
user simd 'armv7 NEON' qemu-arm arm-linux-gnueabihf-gcc -O2 -mfpu=neon
for target in portable simd; do # FACE_CELLS: of a machine with pointers of 32 bits, and of 64
    for cells in 4 16; do
        printf '| arena, %s, %d bits | | |' "$target" "$((cells == 4 ? 32 : 64))"
        for side in $sides; do
            printf '#include <stdio.h>\n#include "face.h"\nint main(void) {printf(" %%lu |", (unsigned long)FACE_ARENA_BYTES(%d, %d));return 0;}\n' \
                "$side" "$side" >arena.c
            cc -DFACE_CELLS="$cells" -I"$target" arena.c -o arena && ./arena
        done
        echo
    done
done
