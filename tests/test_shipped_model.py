"""The model that comes with the package: its size, and what ``make detect`` shows."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from tinier_yolo import Detector
from tinier_yolo.cli import main
from tinier_yolo.detection.boxes import iou
from tinier_yolo.media.images import read_image
from tinier_yolo.shipped import default_model

#: The face of matplotlib's grace_hopper.jpg, forehead to chin: x1, y1, x2, y2 in pixels.
FACE = np.array([[195, 120, 345, 345]])


def test_it_is_small() -> None:
    assert default_model().stat().st_size <= 246_000


def test_it_finds_the_face_of_the_photograph_and_no_other() -> None:
    photograph = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    found = Detector.load(default_model()).detect(read_image(photograph))
    assert len(found) == 1
    assert iou(found.boxes, FACE)[0, 0] > 0.5


@pytest.mark.shared
def test_fddb_on_every_eighth_image(shared: Path, tmp_path: Path) -> None:
    fddb = shared / "data" / "fddb"
    names = (fddb / "dev_images.txt").read_text().split()[::8]
    (tmp_path / "list.txt").write_text("\n".join(names))
    arguments = ["--annotations", str(fddb / "FDDB-folds"), "--images", str(fddb / "originalPics")]
    arguments += ["--list", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(["eval", "fddb", *arguments, "--model", str(default_model())]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["images"] == len(names) == 119
    assert summary["rate"] >= 0.95
