"""Photographs through the exported C and the page's module: equal boxes, and that a difference is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib
import pytest

from scripts import verify_boxes

PHOTO = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
Run = pytest.CaptureFixture[str]

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(PHOTO, tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no photograph")
    return tmp_path


@needs_gcc
def test_the_boxes_of_a_photograph_are_equal(folder: Path, capsys: Run) -> None:
    assert verify_boxes.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "broken.jpg" in out
    assert "C (gcc): 1 photographs, 1 boxes, edges within 0.00" in out
    assert "page (node): 1 photographs, 1 boxes, 0 photographs differ" in out or "page: not run: no node" in out


@needs_gcc
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.input.fill(0), "another input"),
        (lambda c: c.exported.map.fill(0), "another map"),
        (lambda _: None, "0 boxes, not 1"),
    ],
    ids=["input", "map", "boxes"],
)
def test_a_difference_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Run, change: object, problem: str
) -> None:
    detect = verify_boxes.Detection.detect

    def wrong(c: verify_boxes.Detection, image: verify_boxes.Image) -> list[verify_boxes.Box]:
        detect(c, image)
        change(c)  # type: ignore[operator]
        return []

    monkeypatch.setattr(verify_boxes.Detection, "detect", wrong)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert verify_boxes.main([str(folder)]) == 1
    assert f"grace_hopper.jpg: C: {problem}" in capsys.readouterr().out


def test_bad_use_is_one_line(tmp_path: Path, folder: Path, capsys: Run) -> None:
    (tmp_path / "empty").mkdir()
    assert verify_boxes.main([str(tmp_path / "empty")]) == 2
    assert capsys.readouterr().err == f"verify_boxes: {tmp_path / 'empty'}: no photographs\n"
    assert verify_boxes.main([str(folder), "--compiler", "no-such-compiler"]) == 2
    assert capsys.readouterr().err == "verify_boxes: no-such-compiler: No such file or directory\n"
