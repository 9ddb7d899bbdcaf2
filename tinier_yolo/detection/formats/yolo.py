"""YOLO: Darknet's label files, ``class cx cy w h`` relative to the picture, a file for each picture.

They can be trained on, or corrected in an annotation tool; there is no place for a score in them. A picture without
detections has an empty file, which is how Darknet marks a picture without objects. Beside the files stands
``classes.txt``, the names of the classes, without which labelImg does not open them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinier_yolo.datasets.labels import format_labels, load_names
from tinier_yolo.detection.boxes import xyxy_to_cxcywh
from tinier_yolo.detection.formats.result import Result, Target
from tinier_yolo.errors import DetectionsError
from tinier_yolo.files import atomic_write
from tinier_yolo.output_folder import inside

#: As labelImg and others call it.
CLASSES_FILE = "classes.txt"


class YoloWriter:
    """Writes ``NAME.txt`` files, and ``classes.txt`` into every folder of them."""

    def __init__(self, target: Target) -> None:
        self._folder, self._class_names = target.folder, target.class_names
        self._named: set[Path] = set()

    def write(self, result: Result) -> None:
        """Write the file of one picture.

        Raises:
            OutputError: the file cannot be written.
            DetectionsError: its folder holds labels of other classes.
        """
        path = inside(self._folder, result.name, ".txt")
        if path.parent not in self._named:
            self._write_names(path.parent / CLASSES_FILE)
            self._named.add(path.parent)
        with atomic_write(path, "w", durable=False) as file:
            file.write(yolo_labels(result))

    def _write_names(self, path: Path) -> None:
        text = "".join(f"{name}\n" for name in self._class_names)
        if path.exists():
            if load_names(path) != self._class_names:
                expected = "another --out, or " + ", ".join(self._class_names)[:80]
                raise DetectionsError("the folder holds labels of other classes", path=path, expected=expected)
            return
        with atomic_write(path, "w", durable=False) as file:
            file.write(text)

    def close(self) -> None:
        """Each file is whole as it is."""


def yolo_labels(result: Result) -> str:
    """The text of the label file of one picture."""
    boxes = result.detections.boxes.astype(np.float64) / ((result.width, result.height) * 2)
    return format_labels(xyxy_to_cxcywh(boxes), result.detections.class_ids)
