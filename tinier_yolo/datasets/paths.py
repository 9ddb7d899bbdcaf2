"""Where the files are that other files name: one rule for .data files, image lists and labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tinier_yolo.datasets.text import read_lines
from tinier_yolo.errors import DataError, PathLike, warn

#: How many problems of a list are named before it is given up.
MAX_PROBLEMS = 10
Loaded = TypeVar("Loaded")
#: Folders of images beside which Darknet looks for a folder ``labels``.
IMAGE_FOLDERS = ("images", "JPEGImages", "raw")


@dataclass(frozen=True)
class ListedImage:
    """A line of an image list.

    Attributes:
        line: its number, from 1.
        entry: what it says.
        path: the file that it means.
    """

    line: int
    entry: str
    path: Path


def locate(entry: str, folder: Path) -> tuple[Path, bool]:
    """The file that an entry of a .data file or a list means.

    As in Darknet, paths start in the working folder. What is not there is looked for in the folder of the file that
    names it; what is in neither is taken to be missing from the latter. Backslashes may stand for slashes.

    Returns:
        The path, and whether another file of that name stands in ``folder``.
    """
    for text in dict.fromkeys((entry, entry.replace("\\", "/"))):
        here, beside = Path(text), folder / text
        if os.path.exists(here):  # noqa: PTH110 (which does not raise where a name is too long)
            return here, os.path.exists(beside) and not os.path.samefile(here, beside)  # noqa: PTH110, PTH121
        if os.path.exists(beside):  # noqa: PTH110
            return beside, False
    return folder / entry, False


def read_image_list(path: PathLike) -> tuple[ListedImage, ...]:
    """The images that a list names, one a line, found as :func:`locate` says. Blank lines are skipped.

    Raises:
        DataError: the list cannot be read or names nothing.
    """
    images, twofold = [], []
    for number, entry in read_lines(path, "image list"):
        found, other = locate(entry, Path(path).parent)
        images.append(ListedImage(number, entry, found))
        if other:
            twofold.append(images[-1])
    if not images:
        raise DataError("an image list without images", path=path)
    if twofold:
        first = twofold[0]
        told = f"{len(twofold)} files are in the working folder and beside the list; those of the working folder count"
        warn(told, path=path, place=f"line {first.line}", found=first.entry)
    return tuple(images)


def load_image_list(path: PathLike) -> tuple[Path, ...]:
    """The files that a list names; as :func:`read_image_list`."""
    return tuple(image.path for image in read_image_list(path))


def load_each(
    images: Sequence[ListedImage], load: Callable[[ListedImage], Loaded], path: PathLike
) -> tuple[Loaded, ...]:
    """What ``load`` makes of each image of the list ``path``.

    Raises:
        DataError: naming the first ten of those that ``load`` raised, with their line numbers, in one line.
    """
    loaded: list[Loaded] = []
    problems: list[str] = []
    for image in images:
        try:
            loaded.append(load(image))
        except DataError as error:
            problems.append(f"line {image.line}: {error}")
            if len(problems) == MAX_PROBLEMS:
                break
    if problems:
        more = " (and perhaps more)" if len(problems) == MAX_PROBLEMS else ""
        raise DataError("; ".join(problems) + more, path=path)
    return tuple(loaded)


def sibling_path(image: Path, folder: str) -> Path:
    """Where the text file of an image belongs: in ``folder`` instead of the last of the ``IMAGE_FOLDERS`` in its path.

    Where there is none, beside the image itself (labels), in ``folder`` beside it otherwise.
    """
    return next(_sibling_paths(image, folder))


def find_sibling(image: Path, folder: str) -> Path | None:
    """The text file of an image: that of :func:`sibling_path`, or else the one beside the image; None: neither."""
    return next((path for path in _sibling_paths(image, folder) if is_file(path)), None)


def is_file(path: Path) -> bool:
    """Whether there is such a file; unlike ``Path.is_file``, False for a name that is too long for one."""
    return os.path.isfile(path)  # noqa: PTH113


def _sibling_paths(image: Path, folder: str) -> Iterator[Path]:
    parts = image.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] in IMAGE_FOLDERS:
            yield Path(*parts[:index], folder, *parts[index + 1 :]).with_suffix(".txt")
            break
    yield image.with_suffix(".txt") if folder == "labels" else image.parent / folder / f"{image.stem}.txt"
