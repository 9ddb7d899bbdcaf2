"""The exported C, compiled and run on this machine and, under QEMU, on others, against the reference."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.export.c99 import programs
from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.errors import OutputError, UsageError
from tinier_yolo.export.c99.export import TARGETS, c_files, write
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.ifq.tensors import pack_bits
from tinier_yolo.shipped import default_model

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
#: Compiler and options of this machine's; words of 32 bits hold four cells, and eight is what there is without vectors.
NATIVE = (["gcc", "-O2"], ["gcc", "-O1", "-DFACE_CELLS=4"], ["gcc", "-O2", "-DFACE_CELLS=8"], ["clang", "-O2"])
SANITIZE = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
#: Compiler, and what runs the program.
CROSS = {
    "aarch64": (["aarch64-linux-gnu-gcc", "-static", "-O2"], ["qemu-aarch64"]),
    "armv7": (["arm-linux-gnueabihf-gcc", "-static", "-O2", "-mfpu=neon"], ["qemu-arm"]),
    "riscv64": (["riscv64-linux-gnu-gcc", "-static", "-O2"], ["qemu-riscv64"]),
}


def compiled(sources: list[Path], compiler: list[str], *options: str) -> Path:
    """Compile and link; skips the test where there is no such compiler."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]}")
    program = sources[0].parent / "program"
    command = [*compiler, *WARNINGS, *options, *map(str, sources), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stderr
    return program


def proven(folder: Path, name: str, compiler: list[str], *options: str, runner: tuple[str, ...] = ()) -> str:
    """Compile a network with its test, run it; returns what it prints."""
    if runner and shutil.which(runner[0]) is None:
        pytest.skip(f"no {runner[0]}")
    sources = [folder / f"{name}.c", folder / f"{name}_test.c"]
    program = compiled(sources, compiler, f"-D{name.upper()}_TRACE", *options)
    # Nothing is allocated; the search for leaks needs to stop the process, which not every container allows.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    command = [*runner, str(program)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 differences" in result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def shipped() -> Program:
    return Program.load(default_model())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("compiler", NATIVE, ids=" ".join)
def test_the_shipped_model_gives_the_references_maps(
    shipped: Program, compiler: list[str], target: str, tmp_path: Path
) -> None:
    write(c_files(shipped, "face", target), tmp_path)
    assert "18 maps compared" in proven(tmp_path, "face", compiler)


@pytest.mark.parametrize("target", TARGETS)
def test_sums_of_the_image_that_leave_16_bits(target: str, tmp_path: Path) -> None:
    """Windows of 14x14x3 cells with all weights of one sign, beside a layer whose tables hold all their rows."""
    rng, blocks = np.random.default_rng(0), [Block(8, size=14, padding=7), Block(96, size=1, padding=0)]
    blocks.append(Block(8, size=1, padding=0))
    image = random_image(rng, 30, 32)
    program = random_program(ifq_cfg(blocks, 32, 30), rng, image)
    first = program.layers[0]
    signs, thresholds = first.signs.copy(), first.thresholds.copy()
    signs[0], signs[1] = -1, 1
    sums = reference.convolve(image.transpose(2, 0, 1), signs, 1, 7)
    thresholds[:2] = np.quantile(sums[:2], (0.25, 0.5, 0.75), axis=(1, 2)).T.astype(np.int32)
    layer = replace(first, packed=pack_bits(signs > 0), thresholds=thresholds)
    write(c_files(replace(program, layers=(layer, *program.layers[1:])), "net", target), tmp_path)
    proven(tmp_path, "net", ["gcc", "-O1"], *SANITIZE)
    proven(tmp_path, "net", ["gcc", "-O1"], "-DNET_CELLS=4")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(14))
def test_any_program_gives_the_references_maps(seed: int, target: str, tmp_path: Path) -> None:
    write(c_files(programs.make(seed), "net", target), tmp_path)
    proven(tmp_path, "net", ["gcc", "-O1"], *SANITIZE)
    # Vectors where this machine has them, else four cells at once, as 32-bit machines do.
    avx2 = target == "simd" and "avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    proven(tmp_path, "net", ["gcc", "-O1"], "-mavx2" if avx2 else "-DNET_CELLS=4")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("machine", CROSS)
def test_other_machines_give_the_same_bits(shipped: Program, machine: str, target: str, tmp_path: Path) -> None:
    compiler, runner = CROSS[machine]
    write(c_files(shipped, "face", target), tmp_path)
    assert "18 maps compared" in proven(tmp_path, "face", compiler, runner=tuple(runner))


def test_the_test_finds_wrong_weights(shipped: Program, tmp_path: Path) -> None:
    files = c_files(shipped, "face")
    # One bit alone may leave every level of one image as it was.
    before, array, after = files["face.c"].partition("weights_4[")
    changed = re.sub("0x[0-9a-f]+", lambda word: f"0x{int(word[0], 16) ^ 0x55555555:x}", after[: after.index("}")])
    wrong = before + array + changed + after[after.index("}") :]
    write(files | {"face.c": wrong}, tmp_path)
    program = compiled([tmp_path / "face.c", tmp_path / "face_test.c"], ["gcc", "-O1"], "-DFACE_TRACE")
    result = subprocess.run([str(program)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "map 4 differs" in result.stdout


def test_no_float_and_no_allocation_in_the_network(shipped: Program) -> None:
    code = c_files(shipped, "face")["face.c"]
    for word in ("float", "double", "malloc", "math.h", "stdio.h", "stdlib.h"):
        assert word not in code


def test_two_runs_at_once_do_not_disturb_each_other(shipped: Program, tmp_path: Path) -> None:
    write(c_files(shipped, "face"), tmp_path)
    (tmp_path / "two.c").write_text(TWO)
    program = compiled([tmp_path / "face.c", tmp_path / "two.c"], ["gcc", "-O2"])
    subprocess.run([str(program)], check=True, timeout=60)


TWO = """
#include <string.h>
#include "face.h"
static uint64_t arenas[3][FACE_ARENA_BYTES(64, 64) / 8 + 1];
static uint8_t images[2][64 * 64 * 3];
static int32_t outputs[3][FACE_OUTPUT_VALUES(64, 64)];
int main(void) {
    int i, y, failed = 0;
    for (i = 0; i < 64 * 64 * 3; i++) {
        images[0][i] = (uint8_t)(i * 7 % 251);
        images[1][i] = (uint8_t)(i * 13 % 241);
    }
    for (i = 0; i < 2; i++) {
        failed |= face_begin(arenas[i], sizeof arenas[i], 64, 64, outputs[i]);
    }
    for (y = 0; y < 64; y++) {
        for (i = 0; i < 2; i++) {
            failed |= face_row(arenas[i], images[i] + y * 64 * 3);
        }
    }
    for (i = 0; i < 2; i++) {
        failed |= face_end(arenas[i]);
        failed |= face_run(arenas[2], sizeof arenas[2], images[i], 64, 64, outputs[2]);
        failed |= memcmp(outputs[i], outputs[2], sizeof outputs[2]) != 0;
    }
    return failed != 0;
}
"""


@pytest.mark.parametrize("name", ["", "1face", "my-face", "int", "while", "a b", "face.c", "x" * 41, "é"])
def test_a_name_that_c_does_not_take_is_refused(shipped: Program, name: str) -> None:
    with pytest.raises(UsageError, match="not a name for C functions"):
        c_files(shipped, name)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a folder"):
        write({"a.c": ""}, tmp_path / "file")


def test_an_origin_cannot_leave_the_comment(tmp_path: Path) -> None:
    files = c_files(programs.make(0), "net", origin="*/ #error ??/ \\ é @name@ .ifq")
    write(files, tmp_path)
    proven(tmp_path, "net", ["gcc", "-O1"])
