"""FDDB's detections: image, number of detections, then ``x y w h score`` lines.

The official program reads one such file a fold, ``fold-01-out.txt`` to ``fold-10-out.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from tinier_yolo.datasets.fddb import check_reach
from tinier_yolo.datasets.records import Record, read_records, row_lengths
from tinier_yolo.detection.boxes import xyxy_to_xywh
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.formats.result import Result, Target
from tinier_yolo.errors import DetectionsError, PathLike, warn
from tinier_yolo.files import atomic_write

#: What a line describes.
Shape = Literal["rectangle", "ellipse"]
COLUMNS = ("x", "y", "w", "h", "score")
ELLIPSE_COLUMNS = ("major_radius", "minor_radius", "angle", "center_x", "center_y", "score")
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


def read_fddb(path: PathLike, shape: Shape | None = None, left_out: list[str] | None = None) -> tuple[Record, ...]:
    """Read a file of detections, or all ``fold-*-out.txt`` of a folder.

    Args:
        path: the file or the folder.
        shape: what the lines describe. As in the official program further numbers of a line are not read. None: lines
            that all hold six numbers are taken for ellipses, with a word; all others for rectangles.
        left_out: as of :func:`tinier_yolo.datasets.records.read_records`.

    Returns:
        Records with rows ``x y w h score``, or of ellipses ``major minor angle x y score``; scores are any finite
        numbers, kept in float64 exactly as written.

    Raises:
        DataError: no such file, nothing in it, or a malformed line (which is named).
    """
    source = Path(path)
    files = sorted(source.glob(FOLD_FILES)) if source.is_dir() else [source]
    if not files:
        raise DetectionsError("no detections in the folder", path=path, expected=FOLD_FILES)
    what = "FDDB detections file"
    found = shape or _shape(files, what)
    records = (read_detections(file, what, found, more=True, left_out=left_out) for file in files)
    return tuple(chain.from_iterable(records))


def read_detections(
    path: PathLike,
    what: str,
    shape: Shape = "rectangle",
    *,
    more: bool = False,
    left_out: list[str] | None = None,
) -> tuple[Record, ...]:
    """Read one file of records of detections; the arguments are those of :func:`read_fddb` and of ``read_records``.

    Raises:
        DataError: as :func:`read_fddb`.
    """
    columns, check = (ELLIPSE_COLUMNS, _check_ellipse) if shape == "ellipse" else (COLUMNS, _check_rectangle)
    return read_records(path, columns, what, more=more, check=check, left_out=left_out)


def _shape(files: Iterable[Path], what: str) -> Shape:
    by_file = {file: row_lengths(file, what) for file in files}
    lengths = set().union(*by_file.values())
    if not any(length > len(COLUMNS) for length in lengths):
        return "rectangle"
    first = next(file for file, found in by_file.items() if max(found, default=0) > len(COLUMNS))
    if lengths == {len(ELLIPSE_COLUMNS)}:
        warn("six numbers a line are read as an ellipse", path=first, expected=" ".join(ELLIPSE_COLUMNS))
        return "ellipse"
    warn("more than five numbers a line; the first five are read", path=first, expected=" ".join(COLUMNS))
    return "rectangle"


def _check_rectangle(row: Sequence[float]) -> str:
    return "negative width or height" if row[2] < 0 or row[3] < 0 else ""


def _check_ellipse(row: Sequence[float]) -> str:
    return "a negative radius" if min(row[:2]) < 0 else check_reach(row)
