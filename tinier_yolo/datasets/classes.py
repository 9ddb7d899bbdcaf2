"""What a classifier learns from: images, each of one class.

Darknet's ``.data`` file of a classifier names ``labels``, a file of words of which the path of each image contains one
(``train/truck/0001.jpg``, ``n01440764_18.JPEG``), and lists of images. A folder does as well, in which ``train/truck``
and ``test/truck`` hold the images of a class, as CIFAR-10 and ImageNet are often laid out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.labels import class_count, load_names, locate_file, read_options
from tinier_yolo.datasets.paths import ListedImage, is_file, load_each, read_image_list
from tinier_yolo.errors import DataError, PathLike, printable

_KEYS = ("classes", "train", "valid", "labels", "names", "top")
#: The folders of a data folder whose images are for validation, by preference.
_VALID_FOLDERS = ("valid", "val", "test")
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
#: Top-k is told for k = 1 and for this one, where the data names no ``top``.
TOP = 5


@dataclass(frozen=True, eq=False)
class ClassImages:
    """Images and their classes.

    Attributes:
        images: their files.
        class_ids: int64 (n,), of each.
    """

    images: tuple[Path, ...]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.images)


@dataclass(frozen=True)
class ClassData:
    """A set of classes and images.

    Attributes:
        path: the .data file or the folder.
        class_names: a name for each class, for people.
        labels: what stands for each class in the paths of its images.
        train, valid: a list or a folder of folders of images; None where there is none.
        top: the k of top-k accuracy, beside 1.
    """

    path: Path
    class_names: tuple[str, ...]
    labels: tuple[str, ...]
    train: Path | None
    valid: Path | None
    top: int

    def load_train(self) -> ClassImages:
        """The images to train with.

        Raises:
            DataError: see :func:`load_class_images`; or the data names none.
        """
        if self.train is None:
            raise DataError("no train list", path=self.path, expected="train = FILE")
        return load_class_images(self.train, self.labels)

    def load_valid(self) -> ClassImages:
        """The images to validate with; none where the data names none.

        Raises:
            DataError: see :func:`load_class_images`.
        """
        if self.valid is None:
            return ClassImages((), np.zeros(0, np.int64))
        return load_class_images(self.valid, self.labels)


def load_class_data(path: PathLike) -> ClassData:
    """Read a classifier's .data file, or look into a folder that has ``train/CLASS/`` and perhaps ``test/CLASS/``.

    Of a .data file ``labels`` is what paths contain and ``names`` what people read; one stands in for the other.

    Raises:
        DataError: neither of the two; a bad line or value; names, labels and ``classes`` that differ in number; labels
            that stand twice.
    """
    if os.path.isdir(path):  # noqa: PTH112 (which does not raise where a name is too long)
        return _folder_data(Path(path))
    options = read_options(path, _KEYS)
    given = {key: locate_file(options[key], path) for key in ("train", "valid", "labels", "names") if key in options}
    lists = {key: load_names(given[key]) for key in ("labels", "names") if key in given}
    labels = lists.get("labels") or lists.get("names")
    if labels is None:
        raise DataError("no class names", path=path, expected="labels = FILE")
    names = lists.get("names", labels)
    counts = {"classes": class_count(options["classes"], path)} if "classes" in options else {}
    for key, count in {**counts, "names": len(names)}.items():
        if count != len(labels):
            raise DataError(f"{key} and labels differ", path=path, expected=f"{len(labels)} {key}", found=count)
    _check_distinct(labels, path)
    return ClassData(
        Path(path), names, labels, given.get("train"), given.get("valid"), _top(options.get("top"), len(labels), path)
    )


def load_class_images(path: Path, labels: Sequence[str]) -> ClassImages:
    """The images of a list, classed by their paths, or of a folder with a folder for each class.

    Raises:
        DataError: a list that cannot be read; images without a class or of several, the first ten of them in one line;
            a folder of no class, or without images.
    """
    if os.path.isdir(path):  # noqa: PTH112
        return _folder_images(path, labels)
    matcher = PathClasses(labels)

    def class_of(image: ListedImage) -> int:
        class_id = matcher.class_of(image.entry)
        if not is_file(image.path):
            raise DataError("no such image", path=image.path)
        return class_id

    listed = read_image_list(path)
    classes = load_each(listed, class_of, path)
    return ClassImages(tuple(image.path for image in listed), np.array(classes, np.int64))


class PathClasses:
    """Finds the class of an image in its path, as Darknet does: the one whose label the path contains.

    A label inside of another that the path contains too does not count (cat in wildcat): the longest match.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._lengths = sorted({len(label) for label in labels})

    def class_of(self, path: str) -> int:
        """The class, from 0.

        Raises:
            DataError: the path contains no label, or several of which none is a part of another.
        """
        text = path.replace("\\", "/")
        found = {
            text[start : start + length]
            for length in self._lengths
            for start in range(len(text) - length + 1)
            if text[start : start + length] in self._numbers
        }
        longest = sorted(label for label in found if not any(label != other and label in other for other in found))
        if not longest:
            expected = f"one of {len(self._labels)} labels in it"
            raise DataError("the path contains no class", expected=expected, found=path[-60:])
        if len(longest) > 1:
            told = " and ".join(longest[:3])
            raise DataError(f"the path contains several classes, {told}", expected="one", found=path[-60:])
        return self._numbers[longest[0]]


def _folder_data(path: Path) -> ClassData:
    train = path / "train"
    names = _subfolders(train) if train.is_dir() else ()
    if not names:
        raise DataError("not a folder of classes", path=path, expected="train/CLASS/IMAGE.jpg, or a .data file")
    valid = next((path / name for name in _VALID_FOLDERS if (path / name).is_dir()), None)
    # A folder may have any bytes for its name; what people read are characters.
    told = tuple(printable(name) for name in names)
    return ClassData(path, told, names, train, valid, min(TOP, len(names)))


def _subfolders(path: Path) -> tuple[str, ...]:
    try:
        shown = (entry for entry in os.scandir(path) if not entry.name.startswith("."))
        return tuple(sorted(entry.name for entry in shown if entry.is_dir()))
    except OSError as error:
        raise DataError("cannot read the folder", path=path, found=error.strerror) from error


def _folder_images(path: Path, labels: Sequence[str]) -> ClassImages:
    numbers = {label: number for number, label in enumerate(labels)}
    images: list[Path] = []
    class_ids: list[int] = []
    for name in _subfolders(path):
        if name not in numbers:
            raise DataError("a folder of no class", path=path / name, expected=f"one of {_some(labels)}")
        own = _images_in(path / name)
        images += own
        class_ids += [numbers[name]] * len(own)
    if not images:
        raise DataError("no images in the folders of the classes", path=path)
    return ClassImages(tuple(images), np.array(class_ids, np.int64))


def _images_in(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if _is_image(entry))
    except OSError as error:
        raise DataError("cannot read the folder", path=folder, found=error.strerror) from error


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file()  # noqa: PTH122


def _some(names: Iterable[str]) -> str:
    told = list(names)
    return ", ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else "")


def _check_distinct(labels: Sequence[str], path: PathLike) -> None:
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            raise DataError("a label stands twice", path=path, found=label[:60])
        seen.add(label)


def _top(text: str | None, classes: int, path: PathLike) -> int:
    if text is None:
        return min(TOP, classes)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= classes and len(text) < 10):
        raise DataError("bad value of top", path=path, expected=f"1..{classes}", found=text[:60])
    return int(text)
