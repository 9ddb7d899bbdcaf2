"""The import direction of the package, read from the source with ``ast``."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Rows of folders and modules. Each imports from itself and from the rows above, not from the others of its row.
ROWS = (
    ("errors",),
    ("files", "output_folder", "shipped", "defaults"),
    ("darknet", "datasets"),
    ("ifq",),
    ("quantization", "export"),
    ("runtime",),
    ("detection", "classification"),
    ("media",),
    ("bulk",),
    ("training", "benchmark", "eval", "serve"),
    ("calibration",),
    ("cli",),
)
#: Not even these, though they stand in a row above: what runs a program does not know how it was made, and an
#: evaluation knows no kernels. Training has kernels of its own, compiled and written as those of the runtime, and
#: reads its images where detection does.
CLOSED = {
    "runtime": {"quantization"},
    "training": {"export", "bulk"},
    "eval": {"runtime", "export"},
}
#: Heavy libraries and the only places that import them.
CONFINED = {
    "torch": ("tinier_yolo/training/",),
    "numba": ("tinier_yolo/runtime/kernels/", "tinier_yolo/training/fused_kernels", "tinier_yolo/benchmark/peak.py"),
    "llvmlite": ("tinier_yolo/runtime/kernels/", "tinier_yolo/training/fused_kernels", "tinier_yolo/benchmark/peak.py"),
    "onnx": ("tinier_yolo/export/onnx", "tinier_yolo/export/qonnx.py", "tinier_yolo/cli/export.py"),
    "av": ("tinier_yolo/media/pyav.py", "tinier_yolo/media/pyav_encoder.py"),
    "distributed": ("tinier_yolo/bulk/cluster.py",),
    "pandas": ("tinier_yolo/detection/detections.py",),
    "supervision": ("tinier_yolo/detection/detections.py",),
    "fsspec": ("tinier_yolo/bulk/remote.py",),
    "pyarrow": ("tinier_yolo/bulk/parquet.py",),
    "cv2": (
        "tinier_yolo/media/",
        "eval/",
        "tinier_yolo/bulk/",
        "tinier_yolo/classification/crop.py",
        "tinier_yolo/detection/letterbox.py",
        "tinier_yolo/runtime/float_engine.py",
        "tinier_yolo/training/augment.py",
        "tinier_yolo/training/packed.py",
        "tinier_yolo/training/preview.py",
    ),
}


def sources() -> list[Path]:
    return [path for folder in ("tinier_yolo", "eval") for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.lineno, node.module or ""


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "eval":
        return "eval"
    return relative.parts[1] if len(relative.parts) > 2 else relative.stem


def test_every_part_has_a_row() -> None:
    known = {name for row in ROWS for name in row} | {"__init__", "__main__"}
    assert {part_of(path) for path in sources()} <= known


def allowed(part: str) -> set[str]:
    everything = {name for row in ROWS for name in row}
    if part in ("__init__", "__main__"):
        return everything
    above = itertools.takewhile(lambda row: part not in row, ROWS)
    return {part}.union(*above) - CLOSED.get(part, set())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_in_the_direction_of_the_architecture(path: Path) -> None:
    part = part_of(path)
    for line, module in imports(path):
        names = module.split(".")
        assert names[0] != "eval", f"{path}:{line}: its name is tinier_yolo.eval, also in a checkout"
        if names[0] == "tinier_yolo" and len(names) > 1:
            assert names[1] in allowed(part), f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    for line, module in imports(path):
        places = CONFINED.get(module.split(".")[0])
        assert places is None or relative.startswith(places), f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_and_no_eval(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not any(module.split(".")[0] in ("pickle", "marshal", "shelve", "dill") for _, module in imports(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"


def test_every_package_module_has_a_docstring() -> None:
    missing = [
        str(path) for path in sources() if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not missing


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["detect", "--help"], ["eval", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom tinier_yolo.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'numba', 'cv2', 'torch', 'scipy', 'matplotlib', 'onnx', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, timeout=60)
