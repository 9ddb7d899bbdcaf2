"""YOLO: Darknet's label files, ``class cx cy w h`` relative to the picture, a file for each picture.

They can be trained on, or corrected in an annotation tool; there is no place for a score in them. A picture without
detections has an empty file, which is how Darknet marks a picture without objects.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinier_yolo.detection.formats.result import Result
from tinier_yolo.errors import DetectionsError, PathLike
from tinier_yolo.files import atomic_write


class YoloWriter:
    """Writes ``NAME.txt`` files.

    Args:
        folder: the folder that names are relative to.
    """

    def __init__(self, folder: PathLike) -> None:
        self._folder = Path(folder)

    def write(self, result: Result) -> None:
        """Write the file of one picture.

        Raises:
            DetectionsError: the file cannot be written.
        """
        with atomic_write(self._folder / f"{result.name}.txt", "w", error=DetectionsError, durable=False) as file:
            file.write(yolo_labels(result))

    def close(self) -> None:
        """Each file is whole as it is."""


def yolo_labels(result: Result) -> str:
    """The text of the label file of one picture."""
    corners = result.detections.boxes.astype(np.float64) / ((result.width, result.height) * 2)
    centres, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    return "".join(
        f"{class_id} " + " ".join(f"{number:.6f}" for number in box) + "\n"
        for class_id, box in zip(result.detections.class_ids, np.hstack((centres, sides)), strict=True)
    )
