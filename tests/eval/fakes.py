"""A detector and images for it: what is brighter than grey is a face, and its brightness is the score."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.detection.detections import Detections


class BrightDetector:
    """Finds the connected bright areas of an image; the score is the red channel by 255."""

    def detect(self, rgb: NDArray[np.uint8], thresh: float = 0.25, nms: float = 0.45) -> Detections:  # noqa: ARG002
        count, _, areas, _ = cv2.connectedComponentsWithStats((rgb[..., 0] > 60).astype(np.uint8), connectivity=4)
        boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in areas[1:count].tolist()]
        scores = [float(rgb[int(y), int(x), 0]) / 255 for x, y, _, _ in boxes]
        return Detections.of(boxes, scores).above(thresh).sorted()


def draw(path: Path, size: tuple[int, int], *areas: tuple[int, int, int, int, int]) -> None:
    """Write a dark picture of (width, height) with areas ``left, top, right, bottom, brightness``."""
    rgb = np.full((size[1], size[0], 3), 20, np.uint8)
    for left, top, right, bottom, brightness in areas:
        rgb[top:bottom, left:right] = brightness
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lossless picture under any name: readers look at the content.
    path.write_bytes(cv2.imencode(".png", rgb)[1].tobytes())
