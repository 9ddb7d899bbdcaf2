"""YOLO: Darknet's label files, ``class cx cy w h`` relative to the picture, a file for each picture.

They can be trained on, or corrected in an annotation tool; there is no place for a score in them. A picture without
detections has an empty file, which is how Darknet marks a picture without objects.
"""

from __future__ import annotations

import numpy as np

from tinier_yolo.datasets.labels import format_labels
from tinier_yolo.detection.boxes import xyxy_to_cxcywh
from tinier_yolo.detection.formats.result import Result, Target
from tinier_yolo.files import atomic_write


class YoloWriter:
    """Writes ``NAME.txt`` files."""

    def __init__(self, target: Target) -> None:
        self._folder = target.folder

    def write(self, result: Result) -> None:
        """Write the file of one picture.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic_write(self._folder / f"{result.name}.txt", "w", durable=False) as file:
            file.write(yolo_labels(result))

    def close(self) -> None:
        """Each file is whole as it is."""


def yolo_labels(result: Result) -> str:
    """The text of the label file of one picture."""
    boxes = result.detections.boxes.astype(np.float64) / ((result.width, result.height) * 2)
    return format_labels(xyxy_to_cxcywh(boxes), result.detections.class_ids)
