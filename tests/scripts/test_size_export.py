"""The table of sizes: the arena everywhere, the rest where a compiler and an emulator are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: What the script needs for the arena, and for a row of this machine's.
ALWAYS = ("bash", "dirname", "mktemp", "rm", "cc", "awk", "size", "as", "ld", "collect2")
ROW = ("gcc", "qemu-x86_64")


def table(root: Path, folder: Path, tools: tuple[str, ...], side: int) -> dict[str, list[str]]:
    """What the script prints where these are all the tools: the cells of a row, by its first one."""
    folder.joinpath("tools").mkdir()
    for name in tools:
        if found := shutil.which(name):
            folder.joinpath("tools", name).symlink_to(found)
    environment = {**os.environ, "PATH": str(folder / "tools"), "PYTHON": sys.executable, "SIDES": str(side)}
    command = [str(folder / "tools" / "bash"), str(root / "scripts/size_export.sh")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.stdout.splitlines()]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_arena_and_what_is_not_installed(root: Path, tmp_path: Path) -> None:
    rows = table(root, tmp_path, ALWAYS, 160)
    assert rows["target"] == ["compiler", "code and constants", "160"]
    assert rows["Cortex-M4, portable"] == ["not run: not installed"]
    assert rows["aarch64 NEON, simd"] == ["not run: not installed"]
    arenas = {name: int(row[-1]) for name, row in rows.items() if name.startswith("arena")}
    assert set(arenas) == {f"arena, {target}, {bits} bits" for target in ("portable", "simd") for bits in (32, 64)}
    assert 10_000 < arenas["arena, portable, 32 bits"] <= 24_000 < arenas["arena, portable, 64 bits"]


@pytest.mark.skipif(not all(map(shutil.which, ("cc", *ROW))), reason="no gcc and qemu-x86_64")
def test_a_row_of_this_machine(root: Path, tmp_path: Path) -> None:
    _, compiled, instructions = table(root, tmp_path, (*ALWAYS, *ROW), 32)["x86-64, portable"]
    assert 240_000 < int(compiled) < 280_000
    assert 0.5 < float(instructions) < 5
