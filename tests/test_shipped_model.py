"""The model that comes with the package: its size, and what ``make detect`` shows."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from tinier_yolo import Detector
from tinier_yolo.detection.boxes import iou
from tinier_yolo.media.images import read_image
from tinier_yolo.models import default_model

#: The face of matplotlib's grace_hopper.jpg, forehead to chin: x1, y1, x2, y2 in pixels.
FACE = np.array([[195, 120, 345, 345]])


def test_it_is_small() -> None:
    assert default_model().stat().st_size <= 246_000


def test_it_finds_the_face_of_the_photograph_and_no_other() -> None:
    photograph = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    found = Detector.load(default_model()).detect(read_image(photograph))
    assert len(found) == 1
    assert iou(found.boxes, FACE)[0, 0] > 0.5
