"""What a user names on the command line -> a sequence of images, videos and cameras."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinier_yolo.datasets.paths import is_file, read_image_list
from tinier_yolo.errors import DataError, MediaError, PathLike, TinierYoloError


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


#: What counts as an image in a folder. A file that is named is tried whatever its suffix.
IMAGE_SUFFIXES = _suffixes("avif bmp dib gif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp")
VIDEO_SUFFIXES = _suffixes("3gp avi flv m2ts m4v mjpeg mjpg mkv mov mp4 mpeg mpg mts ogv ts webm wmv")


@dataclass(frozen=True)
class Source:
    """One image, video or camera.

    Attributes:
        kind: what it is.
        label: its path as the user would write it, or the camera's number.
        name: a relative path for what is written about it: that below the folder or list which it comes from.
    """

    kind: Literal["image", "video", "camera"]
    label: str
    name: str


def expand(arguments: Iterable[str], skip: PathLike | None = None) -> tuple[list[Source], list[TinierYoloError]]:
    """Expand images, folders, globs, list files, video files and camera numbers, each in its turn.

    - a number is a camera, unless a file has that name;
    - a folder stands for the images in it and below it, sorted; hidden ones are left out;
    - a pattern with ``*``, ``?`` or ``[`` (``**`` for any depth) stands for what a shell would make of it, sorted;
    - ``.txt`` is a list, a path a line: relative to the working folder, or else to the list, as in Darknet;
    - a video is known by its suffix, everything else is taken for an image. Whether it is one shows when it is read.

    Args:
        arguments: as the user gave them.
        skip: a folder whose files do not count when a folder is searched: that of the output.

    Returns:
        The sources in order, and the arguments that stand for nothing as errors.
    """
    sources: list[Source] = []
    problems: list[TinierYoloError] = []
    for argument in arguments:
        try:
            sources += _expand_one(argument, None if skip is None else Path(os.path.realpath(skip)))
        except TinierYoloError as problem:
            problems.append(problem)
        except OSError as problem:
            problems.append(MediaError("cannot look it up", path=argument[:200], found=problem.strerror))
    return sources, problems


def _expand_one(argument: str, skip: Path | None) -> Iterator[Source]:
    path = Path(argument)
    if argument.isdecimal() and not path.exists():
        return iter([Source("camera", str(int(argument)), f"camera-{int(argument)}")])
    if path.is_dir():
        return _folder(path, skip)
    if not os.path.lexists(path) and glob.has_magic(argument):
        return _pattern(argument, skip)
    if path.suffix.lower() == ".txt":
        return _list_file(path)
    return iter([_file(path, path.name)])


def _file(path: Path, name: str) -> Source:
    return Source("video" if path.suffix.lower() in VIDEO_SUFFIXES else "image", str(path), name)


def _folder(folder: Path, skip: Path | None) -> Iterator[Source]:
    images = sorted(path for path in folder.rglob("*") if _is_listed(path, folder, skip))
    if not images:
        raise MediaError("a folder without images", path=folder, expected="files such as .jpg or .png")
    return (_file(path, path.relative_to(folder).as_posix()) for path in images)


def _is_listed(path: Path, folder: Path, skip: Path | None) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    if hidden or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
        return False
    return skip is None or skip == folder.resolve() or not path.resolve().is_relative_to(skip)


def _pattern(pattern: str, skip: Path | None) -> Iterator[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if not matches:
        raise MediaError("no file fits the pattern", path=pattern)
    files = [match for match in matches if not Path(match).is_dir()] if "**" in Path(pattern).parts else matches
    return (source for match in files for source in _expand_one(match, skip))


def _list_file(path: Path) -> Iterator[Source]:
    images = read_image_list(path)
    if not any(is_file(image.path) for image in images):
        place = f"line {images[0].line}"
        raise DataError("none of the files of the list exists", path=path, place=place, found=images[0].entry[:200])
    return (_file(image.path, _name(image.entry)) for image in images)


def _name(entry: str) -> str:
    # Below the list or the working folder, the folders of the entry are kept.
    path = Path(entry)
    return path.name if path.is_absolute() else path.as_posix()
