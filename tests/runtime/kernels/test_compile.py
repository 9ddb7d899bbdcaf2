"""Compiled kernels are found again by the next process, and nothing breaks where none can be kept."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

from tinier_yolo.runtime.kernels import compile as compilation

RUN = """
import numpy as np
from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.runtime.kernels.popcount.kernels import convolve_affine
from tinier_yolo.runtime.engine import Engine
rng = np.random.default_rng(0)
image = random_image(rng, 6, 6)
Engine(random_program(ifq_cfg([], 6, 6), rng, image)).run(image)
stats = convolve_affine.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def run(root: Path, cache: Path) -> list[int]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", RUN], cwd=root, env=environment, check=True, capture_output=True)
    return [int(number) for number in done.stdout.split()]


def test_the_second_process_compiles_nothing(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path) == [0, 1]
    files = sorted(tmp_path.rglob("*"))
    assert run(root, tmp_path) == [1, 0]
    assert sorted(tmp_path.rglob("*")) == files


def test_the_first_process_says_that_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compilation, "_candidates", lambda: iter([tmp_path]))
    for said in ("tinier-yolo: compiling kernels for this machine", ""):
        assert folder() is not None
        captured = capsys.readouterr()
        assert captured.err.startswith(said)
        assert captured.err.count("\n") == bool(said)
        assert captured.out == ""


def folder() -> Path | None:
    return compilation.cache_folder.__wrapped__()


def test_the_first_folder_that_can_be_written_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setattr(compilation, "_candidates", lambda: iter((blocked, tmp_path / "a", tmp_path / "b")))
    found = folder()
    assert found is not None
    assert found.parent == tmp_path / "a"
    assert not (tmp_path / "b").exists()


def test_kernels_compile_without_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "cache_folder", lambda: None)

    def twice(x: int) -> int:
        return 2 * x

    before = numba.config.CACHE_DIR  # type: ignore[attr-defined,unused-ignore]
    assert compilation.kernel(twice)(21) == 42
    assert before == numba.config.CACHE_DIR  # type: ignore[attr-defined,unused-ignore]


def test_the_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation._settings, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = list(compilation._candidates())
    package = Path(compilation.__file__).parent
    private = tmp_path / f"tinier-yolo-{os.getuid()}"
    assert found == [
        package / "__pycache__",
        tmp_path / "xdg" / "tinier-yolo",
        tmp_path / "home" / ".cache" / "tinier-yolo",
        private,
    ]
    assert private.stat().st_mode & 0o777 == 0o700
    # A folder that others can write to could hold their code.
    private.chmod(0o777)
    assert private not in list(compilation._candidates())
    private.rmdir()
    private.symlink_to(tmp_path)
    assert private not in list(compilation._candidates())


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert list(compilation._candidates())


def test_the_digest_covers_what_is_compiled_and_nothing_else() -> None:
    package = Path(compilation.__file__).parent
    decorators = {"kernel", "parallel_kernel", "inlined", "intrinsic"}
    with_code = {
        path
        for path in package.parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and decorators & {getattr(d, "id", "") for d in node.decorator_list}
    }
    # Nothing is inlined from peak.py; and where a kernel's own file has changed, Numba starts afresh by itself.
    with_code.remove(package.parents[1] / "benchmark" / "peak.py")
    assert set(compilation.sources()) == {*with_code, package / "compile.py"}
    # What they import of the package is compiled into them too.
    for path in compilation.sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tinier_yolo"):
                imported = package.parents[2] / (str(node.module).replace(".", "/") + ".py")
                assert imported in compilation.sources(), f"{path} imports {node.module}"


def test_the_name_of_the_folder_changes_with_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "kernels"
    shutil.copytree(Path(compilation.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compilation, "__file__", str(package / "compile.py"))
    before = compilation._digest()
    assert before == compilation._digest()
    for name, changes in (("rows/layer.py", False), ("vectors.py", True), ("lookup/kernels.py", True)):
        with (package / name).open("a") as file:
            file.write("# a change\n")
        assert (before != compilation._digest()) == changes, name
        before = compilation._digest()


def test_a_damaged_cache_and_a_full_disk_are_as_none() -> None:
    flushed = []

    def cut_off(*_: object) -> None:
        raise EOFError("Ran out of input")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = SimpleNamespace(load_overload=cut_off, save_overload=full, flush=lambda: flushed.append(True))
    compilation._forgive(cache)
    assert cache.load_overload("signature", "context") is None
    assert flushed
    cache.save_overload("signature", b"data")
