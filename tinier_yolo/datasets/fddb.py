"""The annotations of FDDB: ellipse lists, one for each of its ten folds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.records import Record, index_records, read_records
from tinier_yolo.errors import DataError, PathLike

_ELLIPSE = ("major_radius", "minor_radius", "angle", "center_x", "center_y", "1")
_FOLD = re.compile(r"FDDB-fold-(\d+)-ellipseList\.txt")


@dataclass(frozen=True, eq=False)
class FddbImage:
    """An image of FDDB.

    Attributes:
        name: its path below ``originalPics`` without the extension, ``2002/08/11/big/img_591``.
        ellipses: float64 (n, 5): major radius, minor radius (pixels), angle (radians), centre x, centre y (pixels).
    """

    name: str
    ellipses: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FddbFold:
    """A fold of FDDB: its number as the file names write it, ``01``, and its images in their order."""

    number: str
    images: tuple[FddbImage, ...]


def load_fddb(folder: PathLike) -> tuple[FddbFold, ...]:
    """Read all ``FDDB-fold-*-ellipseList.txt`` of a folder, by number.

    Raises:
        DataError: no such files, a malformed line, an ellipse without area, or an image that appears twice.
    """
    paths = {match[1]: path for path in _listing(folder) if (match := _FOLD.fullmatch(path.name))}
    if not paths:
        raise DataError("no FDDB annotations in the folder", path=folder, expected="FDDB-fold-*-ellipseList.txt")
    records = {number: read_records(path, _ELLIPSE, "FDDB ellipse list") for number, path in sorted(paths.items())}
    for record in index_records(chain.from_iterable(records.values())).values():
        _check_ellipses(record)
    return tuple(
        FddbFold(number, tuple(FddbImage(record.name, record.rows[:, :5]) for record in fold))
        for number, fold in records.items()
    )


def _listing(folder: PathLike) -> Iterable[Path]:
    try:
        return sorted(Path(folder).iterdir())
    except OSError as error:
        raise DataError("cannot read the folder", path=folder, found=error.strerror) from error


def _check_ellipses(record: Record) -> None:
    flat = np.flatnonzero(np.any(record.rows[:, :2] <= 0, axis=1))
    if flat.size:
        place = record.place(flat[0])
        raise DataError("an ellipse without area", path=record.path, place=place, expected="radii above 0")
