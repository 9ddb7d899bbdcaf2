from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.media.test_images import jpeg_with_orientation
from tinier_yolo.cli import main


def test_cells_and_pixels_and_a_line_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .1 .2\n0 .5 .5 .4 .4\n")
    (tmp_path / "list.txt").write_text("images/a.png\n")
    (tmp_path / "x.data").write_text("classes=1\ntrain=list.txt\n")
    assert main(["anchors", "--data", str(tmp_path / "x.data"), "--num", "2", "--size", "416", "--of", "images"]) == 0
    out = capsys.readouterr().out
    # 200x100 fits 416x416 at 2.08: boxes of 20x20 and 80x40 pixels become 41.6x41.6 and 166.4x83.2.
    assert "41.6,41.6, 166.4,83.2" in out
    assert "anchors=1.300,1.300, 5.200,2.600" in out
    assert main(["anchors", "--data", str(tmp_path / "x.data"), "--num", "3", "--of", "images"]) == 2
    (tmp_path / "labels" / "a.txt").write_text("")
    assert main(["anchors", "--data", str(tmp_path / "x.data")]) == 2


@pytest.mark.parametrize("option", ["--num", "--size", "--stride"])
def test_a_bad_value_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["anchors", "--data", "x.data", option, "0"])
    assert ended.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err.splitlines()[-1]


def test_boxes_lie_on_the_picture_that_exif_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_with_orientation(np.zeros((100, 200, 3), np.uint8), 6))
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .2\n")
    (tmp_path / "list.txt").write_text("a.jpg\n")
    (tmp_path / "x.data").write_text("train=list.txt\n")
    assert main(["anchors", "--data", str(tmp_path / "x.data"), "--num", "1", "--of", "images"]) == 0
    # 100x200 once turned, 208x416 in the network: a tenth of the width, a fifth of the height.
    assert "20.8,83.2" in capsys.readouterr().out


def test_anchors_are_those_of_the_views_that_training_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for index in range(60):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((100, 100, 3), np.uint8))
        (tmp_path / f"{index}.txt").write_text("0 .5 .5 .3 .3\n")
        lines.append(f"{index}.png\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    (tmp_path / "x.data").write_text("train=list.txt\n")
    heights = []
    for faces in ("20:0.2", "100:0.4"):
        command = [
            "anchors",
            "--data",
            str(tmp_path / "x.data"),
            "--num",
            "1",
            "--face-heights",
            faces,
            "--size",
            "320",
        ]
        assert main(command) == 0
        pixels = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("pixels"))
        heights.append(float(pixels.rpartition(",")[2]))
    # Every image is one size and so are its faces: only what the views are made around differs.
    assert heights[1] > 1.5 * heights[0]
