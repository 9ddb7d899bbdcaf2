"""Darknet's data files: .data, .names and label files; lists and the places of files are in :mod:`.paths`.

A ``.data`` file names the lists (``train = data/train.txt``), a list an image a line. Darknet finds the labels of
``images/x.jpg`` in ``labels/x.txt``; a folder ``ignore/`` beside it holds, in the same format, the boxes that carry
neither reward nor penalty.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.paths import (
    ListedImage,
    find_sibling,
    is_file,
    load_each,
    locate,
    read_image_list,
    sibling_path,
)
from tinier_yolo.datasets.text import read_lines, read_text
from tinier_yolo.errors import DataError, PathLike, warn

#: The keys that count here, and Darknet's others, of detectors and classifiers, which change nothing that is done here.
_KEYS = ("classes", "train", "valid", "names")
_OTHER_KEYS = frozenset(
    ("backup", "difficult", "eval", "labels", "leaves", "map", "results", "test", "top", "topk", "tree", "type")
)
# To the end of the line, at its start or after a space: a path may hold either character.
_COMMENT = re.compile(r"(?:^|\s)[#;].*")
#: More classes than any set has, and few enough to give each a name.
_MAX_CLASSES = 100_000
# A millionth of an image is no pixel of it.
_LEAST_SIDE = 1e-6


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and what is known of it.

    Attributes:
        image: the path of the image.
        boxes: float32 (n, 4), centre x, centre y, width, height, relative to the image.
        class_ids: int32 (n,).
        ignored: float32 (m, 4), boxes as above that count neither for nor against a detector.
    """

    image: Path
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    ignored: NDArray[np.float32]


@dataclass(frozen=True)
class DataFile:
    """A .data file: class names and lists, their paths resolved."""

    path: Path
    class_names: tuple[str, ...]
    train: Path | None
    valid: Path | None


def load_data(path: PathLike) -> DataFile:
    """Read a .data file as Darknet does: of a key that stands twice the first counts, an empty value is none.

    Keys that nothing here needs are passed over, with a word where Darknet does not know them either. Paths are found
    as :func:`.paths.locate` says; a list is looked for when it is read.

    Raises:
        DataError: a line that is no ``key = value``, a key that seems to be misspelt, a bad value, or names that are
            not as many as ``classes``.
    """
    options = read_options(path, _KEYS)
    places = {key: locate_file(options[key], path) for key in ("train", "valid", "names") if key in options}
    classes = class_count(options["classes"], path) if "classes" in options else None
    names = _class_names(places.get("names"), classes, path)
    if classes is not None and classes != len(names):
        raise DataError("classes and names differ", path=path, expected=f"classes = {len(names)}", found=classes)
    return DataFile(Path(path), names, places.get("train"), places.get("valid"))


def read_options(path: PathLike, keys: Collection[str]) -> dict[str, str]:
    """The values of a .data file's ``keys``, none of them empty; the first counts of a key that stands twice.

    Raises:
        DataError: a line that is no ``key = value``, or a key that seems to be a misspelt one of ``keys``.
    """
    options: dict[str, str] = {}
    # Comments come in any encoding; a path keeps the bytes that it has in the file system.
    for number, line in read_lines(path, ".data file", errors="surrogateescape"):
        key, equals, value = (part.strip() for part in _COMMENT.sub("", line).partition("="))
        place = f"line {number}"
        if not key and not equals:
            continue
        if not equals:
            raise DataError(
                "not a line of a .data file", path=path, place=place, expected="KEY = VALUE", found=key[:60]
            )
        if key not in keys:
            _check_other_key(key, keys, path, place)
        elif value and options.setdefault(key, value) != value:
            warn(f"{key} stands twice; the first counts, as in Darknet", path=path, place=place, found=value[:60])
    return options


def _check_other_key(key: str, keys: Collection[str], path: PathLike, place: str) -> None:
    if key in _OTHER_KEYS:
        return
    meant = difflib.get_close_matches(key.lower(), keys, n=1, cutoff=0.8)
    if meant:
        raise DataError("unknown key", path=path, place=place, expected=f"{meant[0]}?", found=key[:60])
    warn("a key that is not known here is left aside", path=path, place=place, found=key[:60])


def locate_file(entry: str, path: PathLike) -> Path:
    """The file that an entry of the .data file ``path`` means, with a word where there are two."""
    place, other = locate(entry, Path(path).parent)
    if other:
        warn("the file in the working folder counts, not that beside the .data file", path=path, found=entry[:60])
    return place


def class_count(text: str, path: PathLike) -> int:
    """The value of ``classes``.

    Raises:
        DataError: it is no number of classes.
    """
    if re.fullmatch("[0-9]{1,6}", text) is None or not 1 <= int(text) <= _MAX_CLASSES:
        raise DataError("bad number of classes", path=path, expected=f"1 to {_MAX_CLASSES}", found=text[:60])
    return int(text)


def _class_names(names: Path | None, classes: int | None, path: PathLike) -> tuple[str, ...]:
    if names is not None and (classes is None or is_file(names)):
        return load_names(names)
    if names is not None:
        # Neither training nor clustering needs them, and Darknet's own training does not look at the file.
        warn("no such .names file; classes go by their numbers", path=path, found=names)
    return ("face",) if classes in (None, 1) else tuple(f"class {number}" for number in range(classes or 0))


def load_names(path: PathLike) -> tuple[str, ...]:
    """Class names, one a line.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    names = tuple(line for _, line in read_lines(path, ".names file"))
    if not names:
        raise DataError("no class names", path=path)
    return names


def parse_labels(
    text: str, path: PathLike, classes: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], tuple[int, ...]]:
    """The boxes of a label file: ``class cx cy w h`` a line, relative to the image.

    Args:
        text: of the file.
        path: the file, for messages.
        classes: how many there are.

    Returns:
        float32 (n, 4) boxes; int32 (n,) classes; and the numbers of lines whose box has no area: they are left out, as
        Darknet does. Sets that were made from WIDER FACE have some.

    Raises:
        DataError: a line of another form, a class out of range, a side below 0 or a box outside the image.
    """
    boxes, class_ids, flat = [], [], []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            class_id, box = int(fields[0]), [float(field) for field in fields[1:]]
            # Python also takes 1_000, and the digits of every script.
            fits = (
                line.isascii()
                and "_" not in line
                and len(box) == 4
                and 0 <= class_id < classes
                and all(-0.5 <= value <= 1.5 for value in box)
            )
            fits = fits and box[2] >= 0 and box[3] >= 0
        except ValueError:
            fits = False
        if not fits:
            expected = f"class (0..{classes - 1}) cx cy w h, relative"
            raise DataError("bad label", path=path, place=f"line {number}", expected=expected, found=line.strip()[:60])
        if min(box[2:]) < _LEAST_SIDE:
            flat.append(number)
        else:
            boxes.append(box)
            class_ids.append(class_id)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int32), tuple(flat)


def format_labels(boxes: NDArray[np.floating], class_ids: NDArray[np.integer]) -> str:
    """The text of a label file, which :func:`parse_labels` reads: boxes (n, 4) and classes (n,), relative to the image.

    Six decimals: a hundredth of a pixel in the largest image.
    """
    return "".join(
        f"{class_id} " + " ".join(f"{number:.6f}" for number in box) + "\n"
        for class_id, box in zip(class_ids.tolist(), boxes.tolist(), strict=True)
    )


class _Loader:
    """Reads the labels of one image after the other, and counts what is left out of them."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._flat, self._first_flat = 0, ""

    def load(self, image: Path) -> Sample:
        """The labels and ignored boxes of an image, read and checked; the image itself is only looked for."""
        if not is_file(image):
            raise DataError("no such image", path=image)
        labels, ignore = find_sibling(image, "labels"), find_sibling(image, "ignore")
        if labels is None:
            raise DataError("no label file for the image", path=sibling_path(image, "labels"))
        boxes, class_ids = self._read(labels, "label file")
        return Sample(image, boxes, class_ids, boxes[:0] if ignore is None else self._read(ignore, "ignore file")[0])

    def _read(self, path: Path, what: str) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        boxes, class_ids, flat = parse_labels(read_text(path, what), path, self._classes)
        if flat and not self._flat:
            self._first_flat = f"{path}: line {flat[0]}"
        self._flat += len(flat)
        return boxes, class_ids

    def tell(self, path: PathLike) -> None:
        """Warn of what was left out."""
        if self._flat:
            warn(f"boxes without area are left out: {self._flat}", path=path, found=self._first_flat)


def load_samples(path: PathLike, classes: int = 1) -> tuple[Sample, ...]:
    """All samples of an image list, every pair checked up front. Boxes without area are left out, with a word.

    Raises:
        DataError: naming the first ten problems with their line numbers, in one line.
    """
    return load_listed(read_image_list(path), path, classes)


def load_listed(images: Sequence[ListedImage], path: PathLike, classes: int = 1) -> tuple[Sample, ...]:
    """All samples of an image list that was read; as :func:`load_samples`."""
    loader = _Loader(classes)
    samples = load_each(images, lambda image: loader.load(image.path), path)
    loader.tell(path)
    return samples
