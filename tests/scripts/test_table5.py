from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests import red_detector
from tinier_yolo.eval.fddb.benchmark import FddbResult
from tinier_yolo.eval.report import Source
from tinier_yolo.eval.roc import Roc


@pytest.fixture(scope="module")
def table5(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("table5", root / "scripts/table5.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["table5"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    red_detector.write_fddb(tmp_path)
    (tmp_path / "weights").mkdir()
    return tmp_path


def arguments(folder: Path) -> list[str]:
    options = {"annotations": "folds", "images": "images", "out": "out", "weights": "weights", "cfg": "weights"}
    return [word for name, value in options.items() for word in (f"--{name}", str(folder / value))]


def result(rate: float) -> FddbResult:
    found = round(rate * 10_000)
    roc = Roc(np.array([0.5]), np.array([found]), np.array([0]), np.array([float(found)]), faces=10_000, images=947)
    return FddbResult(Source("ours"), roc, subset=True, detections=found)


def test_the_table(table5: ModuleType, root: Path) -> None:
    columns = ["dev", "dev_hard", "together"]
    ours = table5.Measured({name: result(rate) for name, rate in zip(columns, (0.9322, 0.776, 0.862), strict=True)},
                           model_bytes=246_000, ms_per_image=1.26)  # fmt: skip
    haar = table5.Measured(dict.fromkeys(columns, result(0.888)), model_bytes=None, ms_per_image=77.0)
    rows = [(row, ours if row.stem == "ifq-tinier-yolo-face" else None) for row in table5.ROWS]
    assert table5.table(columns, [*rows, ("OpenCV Haar", haar)]) == (root / "tests/golden/table5.md").read_text()


def test_what_is_trained_is_evaluated(table5: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    red_detector.write_model(folder)
    (folder / "red.cfg").rename(folder / "weights/tinier-yolo-face.cfg")
    (folder / "red.weights").rename(folder / "weights/tinier-yolo-face.weights")
    assert table5.main([*arguments(folder), "--haar"]) == 0
    text = capsys.readouterr().out
    assert text == (folder / "out/table5.md").read_text()
    assert "| Tiny-YOLO | not trained | | 63.00 | | 0.92 | |" in text
    size = (folder / "weights/tinier-yolo-face.weights").stat().st_size
    assert f"| Tinier-YOLO | {size} | 0.00 | 7.89 | 1.0000 | 0.90 |" in text
    assert "| OpenCV Haar | | | | 0.0000 | |" in text
    assert "- FDDB: rate at 0 false positives (0.1 an image) on 1 images of FDDB with 1 faces: a subset, not" in text
    assert (folder / "out/roc.png").is_file()
    assert (folder / "out/tinier-yolo-face/summary.json").is_file()


def test_each_list_has_a_column_and_one_run_serves_all(
    table5: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = folder / "folds/FDDB-fold-01-ellipseList.txt"
    fold.write_text(fold.read_text() + "d/b\n1\n18 18 0 48 48 1\nd/c\n0\n")
    (folder / "images/d/b.jpg").write_bytes((folder / "images/d/a.jpg").read_bytes())
    red_detector.write_model(folder)
    (folder / "red.cfg").rename(folder / "weights/tinier-yolo-face.cfg")
    (folder / "red.weights").rename(folder / "weights/tinier-yolo-face.weights")
    (folder / "dev_images.txt").write_text("d/a\n")
    (folder / "hard.txt").write_text("d/b\n")
    lists = ["--list", str(folder / "dev_images.txt"), "--list", str(folder / "hard.txt")]
    assert table5.main([*arguments(folder), *lists]) == 0
    text = capsys.readouterr().out
    assert "| MB in the paper | rate, dev | rate, hard | rate, together | rate in the paper |" in text
    assert "| 7.89 | 1.0000 | 1.0000 | 1.0000 | 0.90 |" in text
    assert "| IFQ-Tiny-YOLO (k=2) | not trained | | 1.97 | | | | 0.89 | |" in text
    assert "- together: rate at 0 false positives (0.1 an image) on 2 images of FDDB with 2 faces" in text
    out = folder / "out/tinier-yolo-face"
    for part, images in ((".", 2), ("dev", 1), ("hard", 1)):
        assert json.loads((out / part / "summary.json").read_text())["images"] == images
    assert table5.main([*arguments(folder), *lists[:2], *lists[:2]]) == 2
    assert "table5: two lists of one name" in capsys.readouterr().err


def test_an_integer_program_comes_before_its_weights(table5: ModuleType, tmp_path: Path) -> None:
    row = table5.ROWS[3]
    assert table5.find_model(row, tmp_path, tmp_path) is None
    (tmp_path / f"{row.stem}.weights").touch()
    assert table5.find_model(row, tmp_path, tmp_path / "c") == (
        tmp_path / f"{row.stem}.weights",
        tmp_path / "c" / f"{row.stem}.cfg",
    )
    (tmp_path / f"{row.stem}.ifq").touch()
    assert table5.find_model(row, tmp_path, tmp_path) == (tmp_path / f"{row.stem}.ifq", None)


def test_nothing_trained(table5: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table5.main(arguments(folder)) == 2
    assert "no trained network (expected tiny-yolo-face or ifq-tiny-yolo-face" in capsys.readouterr().err
    assert not (folder / "out").exists()
