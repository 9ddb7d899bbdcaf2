"""Darknet's data files: .data, .names, image lists and label files.

A ``.data`` file names the lists (``train = train.txt``), relative to itself. A list names an image a line, relative
to itself too. Darknet finds the labels of ``images/x.jpg`` in ``labels/x.txt``; a folder ``ignore/`` beside it holds,
in the same format, the boxes that carry neither reward nor penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import DataError, PathLike

_KEYS = ("classes", "train", "valid", "names", "backup", "eval", "results", "top")
#: How many problems of a list are named before it is given up.
MAX_PROBLEMS = 10


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
    backup: Path | None


def read_text(path: PathLike, what: str) -> str:
    """The text of a data file, byte-order mark and line ends of any kind accepted.

    Raises:
        DataError: the file cannot be read or is not UTF-8 text.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read the {what}", path=path, found=error.strerror) from error
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} is not UTF-8 text", path=path, place=f"byte {error.start}") from error


def load_data(path: PathLike) -> DataFile:
    """Read a .data file.

    Raises:
        DataError: an unknown key, a bad value, or names that are not as many as ``classes``.
    """
    folder = Path(path).parent
    options: dict[str, str] = {}
    for number, raw in enumerate(read_text(path, ".data file").splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key not in _KEYS:
            expected = "one of " + ", ".join(_KEYS)
            raise DataError("unknown key", path=path, place=f"line {number}", expected=expected, found=key[:60])
        options[key] = value
    names = load_names(folder / options["names"]) if "names" in options else ("face",)
    classes = options.get("classes", str(len(names)))
    if classes != str(len(names)):
        raise DataError("classes and names differ", path=path, expected=f"classes = {len(names)}", found=classes)
    lists = {key: folder / options[key] if key in options else None for key in ("train", "valid", "backup")}
    return DataFile(Path(path), names, lists["train"], lists["valid"], lists["backup"])


def load_names(path: PathLike) -> tuple[str, ...]:
    """Class names, one a line.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    names = tuple(line.strip() for line in read_text(path, ".names file").splitlines() if line.strip())
    if not names:
        raise DataError("no class names", path=path)
    return names


def load_image_list(path: PathLike) -> tuple[Path, ...]:
    """The images that a list names; blank lines are skipped, relative paths start at the list's folder.

    Raises:
        DataError: the list cannot be read or names nothing.
    """
    lines = (line.strip() for line in read_text(path, "image list").splitlines())
    images = tuple(Path(path).parent / line for line in lines if line)
    if not images:
        raise DataError("an image list without images", path=path)
    return images


def sibling_path(image: Path, folder: str) -> Path:
    """The text file of an image in a folder beside its own: the last ``images`` of the path becomes ``folder``.

    Where no part of the path is ``images``, the file stands beside the image itself (labels), in ``folder`` otherwise.
    """
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = folder
            return Path(*parts).with_suffix(".txt")
    return image.with_suffix(".txt") if folder == "labels" else image.parent / folder / f"{image.stem}.txt"


def parse_labels(text: str, path: PathLike, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Boxes (n, 4) and classes (n,) of a label file's text: ``class cx cy w h`` a line, relative to the image.

    Raises:
        DataError: a line of another form, a class out of range, a box without area or outside the image.
    """
    boxes, class_ids = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            class_id, box = int(fields[0]), [float(field) for field in fields[1:]]
            fits = len(box) == 4 and 0 <= class_id < classes and all(-0.5 <= value <= 1.5 for value in box)
            fits = fits and box[2] > 0 and box[3] > 0
        except ValueError:
            fits = False
        if not fits:
            expected = f"class (0..{classes - 1}) cx cy w h, relative"
            raise DataError("bad label", path=path, place=f"line {number}", expected=expected, found=line[:60])
        boxes.append(box)
        class_ids.append(class_id)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int32)


def format_labels(boxes: NDArray[np.floating], class_ids: NDArray[np.integer]) -> str:
    """The text of a label file, which :func:`parse_labels` reads: boxes (n, 4) and classes (n,), relative to the image.

    Six decimals: a hundredth of a pixel in the largest image.
    """
    return "".join(
        f"{class_id} " + " ".join(f"{number:.6f}" for number in box) + "\n"
        for class_id, box in zip(class_ids.tolist(), boxes.tolist(), strict=True)
    )


def load_sample(image: Path, classes: int = 1) -> Sample:
    """An image's labels and ignored boxes, read and checked; the image itself is only looked for.

    Raises:
        DataError: the image or its label file is missing, or a label is bad.
    """
    if not image.is_file():
        raise DataError("no such image", path=image)
    labels = sibling_path(image, "labels")
    if not labels.is_file():
        raise DataError("no label file for the image", path=labels)
    boxes, class_ids = parse_labels(read_text(labels, "label file"), labels, classes)
    ignore = sibling_path(image, "ignore")
    ignored = parse_labels(read_text(ignore, "ignore file"), ignore, classes)[0] if ignore.is_file() else boxes[:0]
    return Sample(image, boxes, class_ids, ignored)


def load_samples(path: PathLike, classes: int = 1) -> tuple[Sample, ...]:
    """All samples of an image list, every pair checked up front.

    Raises:
        DataError: naming the first ten problems with their line numbers, in one line.
    """
    lines = read_text(path, "image list").splitlines()
    numbered = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise DataError("an image list without images", path=path)
    folder = Path(path).parent
    return _collect(numbered, lambda line: load_sample(folder / line, classes), path)


def _collect(lines: Iterable[tuple[int, str]], load: Callable[[str], Sample], path: PathLike) -> tuple[Sample, ...]:
    samples: list[Sample] = []
    problems: list[str] = []
    for number, line in lines:
        try:
            samples.append(load(line))
        except DataError as error:
            problems.append(f"line {number}: {error}")
            if len(problems) == MAX_PROBLEMS:
                break
    if problems:
        raise DataError(_summary(problems), path=path)
    return tuple(samples)


def _summary(problems: Sequence[str]) -> str:
    more = " (and perhaps more)" if len(problems) == MAX_PROBLEMS else ""
    return "; ".join(problems) + more
