"""CSV: a row for each detection; a picture without any has no row."""

from __future__ import annotations

import csv

from tinier_yolo.detection.formats.result import Result, Target, shortest

COLUMNS = ("source", "frame", "width", "height", "x1", "y1", "x2", "y2", "score", "class")


class CsvWriter:
    """Writes a header and the rows."""

    def __init__(self, target: Target) -> None:
        self._rows, self._class_names = csv.writer(target.stream, lineterminator="\n"), target.class_names
        self._rows.writerow(COLUMNS)

    def write(self, result: Result) -> None:
        """Write a row for each detection; the frame of an image is empty."""
        found = result.detections
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
            numbers = (*map(shortest, box), shortest(score))
            picture = (result.source, result.frame, result.width, result.height)
            self._rows.writerow((*picture, *numbers, self._class_names[class_id]))

    def close(self) -> None:
        """Nothing stands at the end."""
