"""The annotations of FDDB: ellipse lists, one for each of its ten folds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.records import index_records, read_records
from tinier_yolo.errors import DataError, PathLike

#: Pixels; the largest number in an ellipse.
MAX_REACH = 1_000_000
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


def load_fddb(folder: PathLike, left_out: list[str] | None = None) -> tuple[FddbFold, ...]:
    """Read all ``FDDB-fold-*-ellipseList.txt`` of a folder, by number.

    Args:
        folder: the folder.
        left_out: as of :func:`.records.read_records`.

    Raises:
        DataError: no such files, a malformed line, an ellipse without area, or an image that appears twice.
    """
    paths = {match[1]: path for path in _listing(folder) if (match := _FOLD.fullmatch(path.name))}
    if not paths:
        raise DataError("no FDDB annotations in the folder", path=folder, expected="FDDB-fold-*-ellipseList.txt")
    what = "FDDB ellipse list"
    folds = {
        number: read_records(path, _ELLIPSE, what, more=True, check=_check_ellipse, left_out=left_out)
        for number, path in sorted(paths.items())
    }
    index = index_records(chain.from_iterable(folds.values()), left_out=left_out)
    return tuple(
        FddbFold(number, tuple(FddbImage(r.name, r.rows[:, :5]) for r in fold if index[r.name] is r))
        for number, fold in folds.items()
    )


def _listing(folder: PathLike) -> Iterable[Path]:
    try:
        return sorted(Path(folder).iterdir())
    except OSError as error:
        raise DataError("cannot read the folder", path=folder, found=error.strerror) from error


def _check_ellipse(row: Sequence[float]) -> str:
    if min(row[:2]) <= 0:
        return "an ellipse without area"
    return check_reach(row)


def check_reach(ellipse: Sequence[float]) -> str:
    """What is wrong with an ellipse that no image holds: OpenCV cannot draw it."""
    return "" if max(map(abs, ellipse[:5])) <= MAX_REACH else f"an ellipse beyond {MAX_REACH} pixels"
