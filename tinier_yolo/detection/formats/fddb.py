"""FDDB's detections: image, number of detections, then ``x y w h score`` lines.

The official program reads one such file a fold, ``fold-01-out.txt`` to ``fold-10-out.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tinier_yolo.datasets.records import Record, read_records
from tinier_yolo.detection.boxes import xyxy_to_xywh
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.formats.result import Result, Target
from tinier_yolo.errors import DetectionsError, PathLike
from tinier_yolo.files import atomic_write

COLUMNS = ("x", "y", "w", "h", "score")
FOLD_FILES = "fold-*-out.txt"


def format_record(name: str, detections: Detections) -> str:
    """One image's record, with a line end after each line.

    Coordinates get three decimals; scores nine digits, which is what a float32 needs to come back as it was.
    """
    lines = [name, str(len(detections))]
    boxes = xyxy_to_xywh(detections.boxes.astype(np.float64)).tolist()
    for box, score in zip(boxes, detections.scores, strict=True):
        lines.append(" ".join(f"{value:.3f}" for value in box) + f" {score:.9g}")
    return "\n".join(lines) + "\n"


class FddbWriter:
    """Writes FDDB records, one after the other, to a text file."""

    def __init__(self, target: Target) -> None:
        self._stream = target.stream

    def write(self, result: Result) -> None:
        """Write one record."""
        self._stream.write(format_record(result.name, result.detections))

    def close(self) -> None:
        """Nothing stands at the end."""


def write_fddb(path: PathLike, images: Iterable[tuple[str, Detections]]) -> None:
    """Write the records of images, given as (name, detections).

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path, "w") as file:
        file.writelines(format_record(name, detections) for name, detections in images)


def read_fddb(path: PathLike) -> tuple[Record, ...]:
    """Read a file of detections, or all ``fold-*-out.txt`` of a folder.

    Returns:
        Records with rows ``x y w h score``; scores are any finite numbers, kept in float64 exactly as written.

    Raises:
        DataError: no such file, nothing in it, or a malformed line (which is named).
    """
    source = Path(path)
    files = sorted(source.glob(FOLD_FILES)) if source.is_dir() else [source]
    if not files:
        raise DetectionsError("no detections in the folder", path=path, expected=FOLD_FILES)
    return tuple(record for file in files for record in read_detections(file, "FDDB detections file"))


def read_detections(path: PathLike, what: str) -> tuple[Record, ...]:
    """Read one file of records with ``x y w h score`` rows.

    Raises:
        DataError: as :func:`read_fddb`.
    """
    records = read_records(path, COLUMNS, what)
    for record in records:
        negative = np.flatnonzero(np.any(record.rows[:, 2:4] < 0, axis=1))
        if negative.size:
            place = record.place(negative[0])
            raise DetectionsError("negative width or height", path=path, place=place, expected=" ".join(COLUMNS))
    return records
