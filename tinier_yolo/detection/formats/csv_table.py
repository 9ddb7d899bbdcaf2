"""CSV: a row for each detection; a picture without any has no row."""

from __future__ import annotations

import csv

from tinier_yolo.detection.formats.result import Result, Target, shortest
from tinier_yolo.errors import printable

#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("source", "frame", "width", "height", "x1", "y1", "x2", "y2", "score", "class", "time")


class CsvWriter:
    """Writes a header and the rows."""

    def __init__(self, target: Target) -> None:
        self._rows, self._class_names = csv.writer(target.stream, lineterminator="\n"), target.class_names
        self._rows.writerow(COLUMNS)

    def write(self, result: Result) -> None:
        """Write a row for each detection; frame and time of an image are empty."""
        found = result.detections
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
            numbers = (*map(shortest, box), shortest(score))
            picture = (as_path(result.source), result.frame, result.width, result.height)
            time = None if result.time is None else round(result.time, 6)
            self._rows.writerow((*picture, *numbers, as_text(self._class_names[class_id]), time))

    def close(self) -> None:
        """Nothing stands at the end."""


def as_text(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: an apostrophe stands before what looks like one."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def as_path(name: str) -> str:
    """The same for a path, which stays one: ``./`` stands before it. Line ends and control characters are escaped."""
    shown = printable(name)
    return f"./{shown}" if shown.startswith(_FORMULA) else shown
