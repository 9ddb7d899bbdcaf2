"""The exported C beside the kernels: a quick run, and that a build that computes something else is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scripts import bench_c99
from scripts.exported_c import Exported

SHORT = ["--targets", "portable", "--compilers", "gcc", "--size", "32", "--rounds", "1", "--burst", "2"]
QUICK = [*SHORT, "--options=-O0"]
Run = pytest.CaptureFixture[str]

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


@needs_gcc
def test_a_quick_run(tmp_path: Path, capsys: Run) -> None:
    assert bench_c99.main([*QUICK, "--json", str(tmp_path / "c99.json")]) == 0
    report = json.loads((tmp_path / "c99.json").read_text())
    assert (report["width"], report["height"], report["rounds"], report["burst"]) == (32, 32, 1, 2)
    numba, build = report["rows"]
    assert (numba["build"], build["build"]) == (bench_c99.NUMBA, "portable: gcc -O0")
    assert (numba["median_ratio"], numba["best_ratio"]) == (1, 1)
    assert 0 < build["best_ms"] <= build["median_ms"]
    assert build["median_ratio"] == pytest.approx(build["median_ms"] / numba["median_ms"])
    out = capsys.readouterr().out
    assert f"| portable: gcc -O0 | {build['median_ms']:.2f} | {build['best_ms']:.2f} |" in out


@needs_gcc
def test_another_map_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Run) -> None:
    run = Exported.run
    monkeypatch.setattr(Exported, "run", lambda self, image: run(self, 255 - image))
    assert bench_c99.main(QUICK) == 2
    assert capsys.readouterr().err == "bench_c99: 32x32: portable: gcc -O0 computes another map\n"


@needs_gcc
def test_what_does_not_compile_is_told(capsys: Run) -> None:
    assert bench_c99.main([*SHORT, "--options=-DFACE_CELLS=x"]) == 2
    assert capsys.readouterr().err.startswith("bench_c99: gcc -DFACE_CELLS=x -std=c99")


def test_no_compiler(capsys: Run) -> None:
    assert bench_c99.main(["--compilers", "no-such-compiler"]) == 2
    assert "bench_c99: no C compiler" in capsys.readouterr().err
