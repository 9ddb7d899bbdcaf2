"""The images of FDDB that are evaluated, and the detections of them that are read from files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.fddb import FddbFold, FddbImage, load_fddb
from tinier_yolo.datasets.records import index_records, leave_out
from tinier_yolo.datasets.text import read_lines, read_text
from tinier_yolo.detection.formats.fddb import Shape, read_fddb
from tinier_yolo.errors import DataError, DetectionsError, PathLike
from tinier_yolo.eval.fddb.overlap import Size

#: The whole of FDDB.
FULL_IMAGES, FULL_FACES = 2845, 5171
#: Of an image whose size a file states: a mask of them fits into memory. FDDB's are no larger than 450 x 450.
MAX_PIXELS = 1 << 26


@dataclass(frozen=True, eq=False)
class FddbSet:
    """The images that are evaluated.

    Attributes:
        folds: their folds; on a subset, what is left of each.
        known: names of all images of the annotations, evaluated or not.
        left_out: what is wrong with lines of the annotations, and of detections that are read for the set; such lines
            are left out. None: the first one is an error.
    """

    folds: tuple[FddbFold, ...]
    known: frozenset[str]
    left_out: list[str] | None = None

    @classmethod
    def load(cls, annotations: PathLike, lists: Sequence[PathLike] = (), lenient: bool = False) -> FddbSet:
        """Read a folder of annotations, and what to evaluate of it.

        Args:
            annotations: the folder of ``FDDB-fold-*-ellipseList.txt``.
            lists: files that name images, one a line: those of all lists together are evaluated; without lists, all.
            lenient: leave wrong lines out.

        Raises:
            DataError: as :func:`load_fddb` and :meth:`part`.
        """
        left_out: list[str] | None = [] if lenient else None
        folds = load_fddb(annotations, left_out)
        whole = cls(folds, frozenset(image.name for fold in folds for image in fold.images), left_out)
        return whole.part(lists) if lists else whole

    def part(self, lists: Sequence[PathLike]) -> FddbSet:
        """The images that are in one of the lists.

        Raises:
            DataError: a list that is empty, or names an image twice or one that is unknown.
        """
        wanted = set().union(*(_read_list(path, self.known) for path in lists))
        parts = (FddbFold(fold.number, tuple(i for i in fold.images if i.name in wanted)) for fold in self.folds)
        return FddbSet(tuple(part for part in parts if part.images), self.known, self.left_out)

    @property
    def images(self) -> Iterator[FddbImage]:
        """The images, fold by fold."""
        return (image for fold in self.folds for image in fold.images)

    @property
    def is_subset(self) -> bool:
        """Whether this is less than the annotations, or less than FDDB."""
        count = sum(1 for _ in self.images)
        return count < len(self.known) or count < FULL_IMAGES

    def files(self, root: PathLike) -> dict[str, Path]:
        """The image files under ``root`` (FDDB's ``originalPics``), by name."""
        return {image.name: Path(root) / f"{image.name}.jpg" for image in self.images}


def load_sizes(path: PathLike) -> dict[str, Size]:
    """Read image sizes: a JSON object of ``"name": [width, height]``.

    Raises:
        DataError: not such a file.
    """
    expected = '{"name": [width, height], ...}'
    try:
        content = json.loads(read_text(path, "file of image sizes"))
    except (ValueError, RecursionError) as error:
        raise DataError("not JSON", path=path, expected=expected, found=str(error)[:80]) from error
    if not isinstance(content, dict):
        raise DataError("not a file of image sizes", path=path, expected=expected, found=type(content).__name__)
    for name, size in content.items():
        fine = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        if not fine:
            raise DataError("not a size", path=path, place=name[:80], expected="[width, height]", found=str(size)[:40])
        if size[0] * size[1] > MAX_PIXELS:
            expected, found = f"at most {MAX_PIXELS} pixels", str(size)[:40]
            raise DataError("a size that is too large", path=path, place=name[:80], expected=expected, found=found)
    return {name: (size[0], size[1]) for name, size in content.items()}


def load_detections(path: PathLike, fddb: FddbSet, shape: Shape | None = None) -> dict[str, NDArray[np.float64]]:
    """Read detections of the set's images: a file, or a folder of ``fold-*-out.txt``.

    Images of the annotations that are not evaluated are left aside.

    Args:
        path: the file or the folder.
        fddb: the set. Where it leaves wrong lines out, so are records of unknown images, and the second of an image.
        shape: as of :func:`read_fddb`.

    Raises:
        DataError: as :func:`read_fddb`; or an image twice, an image that the annotations do not know, or none of
            the set's images.
    """
    records = index_records(read_fddb(path, shape, fddb.left_out), fddb.left_out)
    for record in records.values():
        if record.name not in fddb.known:
            expected = "a name of the annotations, without .jpg"
            place, found = record.place(), record.name[:80]
            problem = DetectionsError("unknown image", path=record.path, place=place, expected=expected, found=found)
            leave_out(problem, fddb.left_out)
    names = {image.name for image in fddb.images}
    detections = {name: record.rows for name, record in records.items() if name in names}
    if not detections:
        raise DetectionsError("no image of the set", path=path, expected=f"some of {len(names)}")
    return detections


def _read_list(path: PathLike, known: frozenset[str]) -> set[str]:
    names: set[str] = set()
    for number, name in read_lines(path, "list of images"):
        if name not in known or name in names:
            problem = "an image twice in the list" if name in names else "unknown image in the list"
            raise DataError(problem, path=path, place=f"line {number}", found=name[:80])
        names.add(name)
    if not names:
        raise DataError("an empty list of images", path=path)
    return names
