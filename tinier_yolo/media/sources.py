"""What a user names on the command line -> a sequence of images, videos, streams and cameras."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from tinier_yolo.datasets.paths import is_file, read_image_list
from tinier_yolo.datasets.text import read_text
from tinier_yolo.errors import DataError, MediaError, PathLike, TinierYoloError
from tinier_yolo.media.addresses import SCHEMES, shown
from tinier_yolo.media.content import kind_of
from tinier_yolo.media.images import STANDARD_INPUT


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


#: What counts as an image in a folder. A file that is named is tried whatever its suffix.
IMAGE_SUFFIXES = _suffixes("avif bmp dib gif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp")
VIDEO_SUFFIXES = _suffixes(
    "264 265 3g2 3gp asf avi divx dv f4v flv h264 h265 hevc ivf m1v m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpe mpeg mpg "
    "mpv mts mxf ogm ogv ts vob webm wmv y4m"
)
#: Pictures that OpenCV does not read, whatever their suffix: looked for in folders to be told of.
UNREAD_SUFFIXES = _suffixes("arw cr2 cr3 dng heic heif hif jxl nef orf raf rw2 svg psd")


@dataclass(frozen=True)
class Source:
    """One image, video, stream or camera.

    Attributes:
        kind: what it is.
        label: its path or its address as the user would write it, or the camera's number.
        name: a relative path for what is written about it: that below the folder or list which it comes from.
        event: the name of the folder of a file that was named by itself or by a pattern; empty for others.
    """

    kind: Literal["image", "video", "camera", "stream"]
    label: str
    name: str
    event: str = ""


class Expansion(NamedTuple):
    """What arguments stand for.

    Attributes:
        sources: in order.
        problems: the arguments that stand for nothing.
        notes: what was left out of folders, a line each.
    """

    sources: list[Source]
    problems: list[TinierYoloError]
    notes: list[str]


def expand(arguments: Iterable[str], skip: PathLike | None = None) -> Expansion:
    """Expand images, folders, globs, list files, videos, addresses and camera numbers, each in its turn.

    - a number is a camera, unless a file has that name;
    - a folder stands for the images in it and below it, sorted; hidden ones are left out;
    - a pattern with ``*``, ``?`` or ``[`` (``**`` for any depth) stands for what a shell would make of it, sorted;
    - ``.txt`` is a list, a path a line: relative to the working folder, or else to the list, as in Darknet;
      ``.streams`` is a list of addresses;
    - ``rtsp://``, ``http://`` and ``https://`` are streams, or images where the suffix says so; ``-`` is an image on
      the standard input;
    - other files are images or videos by their content, or by their suffix where that says nothing.

    Args:
        arguments: as the user gave them.
        skip: a folder whose files do not count when a folder is searched: that of the output.

    """
    expansion = Expansion([], [], [])
    folder = None if skip is None else Path(os.path.realpath(skip))
    for argument in arguments:
        matches: list[str] = []
        with _kept(expansion.problems, argument):
            matches = _matches(argument)
        for match in matches:
            with _kept(expansion.problems, match):
                expansion.sources.extend(_expand_one(match, folder, expansion.notes))
    return expansion


@contextmanager
def _kept(problems: list[TinierYoloError], argument: str) -> Iterator[None]:
    """Add what goes wrong in the body to the problems."""
    try:
        yield
    except TinierYoloError as problem:
        problems.append(problem)
    except (OSError, ValueError) as problem:
        found = getattr(problem, "strerror", None) or problem
        problems.append(MediaError("cannot look it up", path=argument[:200], found=found))


def _expand_one(argument: str, skip: Path | None, notes: list[str]) -> Iterator[Source]:
    if argument == STANDARD_INPUT:
        return iter([Source("image", argument, "stdin")])
    if "://" in argument and not os.path.lexists(argument):
        return iter([_address(argument)])
    path = Path(argument)
    if argument.isdecimal() and not path.exists():
        return iter([Source("camera", str(int(argument)), f"camera-{int(argument)}")])
    if path.is_dir():
        return _folder(path, skip, notes)
    if path.suffix.lower() == ".txt":
        return _list_file(path)
    if path.suffix.lower() == ".streams":
        return _streams(path)
    return iter([_file(path, path.name, path.absolute().parent.name)])


def _file(path: Path, name: str, event: str = "") -> Source:
    known = "video" if path.suffix.lower() in VIDEO_SUFFIXES else "image"
    if (kind_of(path) or known) == "video":
        return Source("video", str(path), name)
    return Source("image", str(path), name, event)


def _address(address: str) -> Source:
    parts = urlsplit(address)
    if parts.scheme.lower() not in SCHEMES:
        raise MediaError(
            "not an address that is read", path=shown(address), expected=", ".join(f"{s}://" for s in SCHEMES)
        )
    if not parts.hostname:
        raise MediaError("an address without a host", path=shown(address))
    suffix = Path(parts.path).suffix.lower()
    is_image = parts.scheme.lower().startswith("http") and suffix in IMAGE_SUFFIXES
    name = "".join(c if c.isalnum() or c in "-._" else "_" for c in f"{parts.hostname}{parts.path}")
    # A stream's name has no suffix of its own that could be dropped.
    return Source("image", address, name) if is_image else Source("stream", address, f"{name}.mp4")


def _streams(path: Path) -> Iterator[Source]:
    # A comment begins a line or follows a space: passwords may hold a #.
    lines = (
        re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in read_text(path, "list of streams").splitlines()
    )
    addresses = [line for line in lines if line]
    if not addresses:
        raise DataError("a list of streams without any", path=path)
    return iter([_address(address) for address in addresses])


def _folder(folder: Path, skip: Path | None, notes: list[str]) -> Iterator[Source]:
    files = [path for path in folder.rglob("*") if _counts(path, folder, skip)]
    images = sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    left_out = _left_out(files)
    if not images:
        problem, expected = "a folder without images", "files such as .jpg or .png"
        raise MediaError(problem, path=folder, expected=expected, found=left_out or None)
    if left_out:
        notes.append(f"{folder}: left out {left_out}")
    return (Source("image", str(path), path.relative_to(folder).as_posix()) for path in images)


def _counts(path: Path, folder: Path, skip: Path | None) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    if hidden or path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES | UNREAD_SUFFIXES or not path.is_file():
        return False
    return skip is None or skip == folder.resolve() or not path.resolve().is_relative_to(skip)


def _left_out(files: Iterable[Path]) -> str:
    """What a folder has beside images, in words; empty where it has none of it."""
    counts = Counter(path.suffix.lower() for path in files)
    pictures = [f"{n} {suffix[1:].upper()}" for suffix, n in sorted(counts.items()) if suffix in UNREAD_SUFFIXES]
    videos = sum(n for suffix, n in counts.items() if suffix in VIDEO_SUFFIXES)
    parts = [f"{', '.join(pictures)} (not read: convert to JPEG)"] if pictures else []
    return " and ".join(
        [*parts, f"{videos} video{'s' * (videos > 1)} (name them, or 'FOLDER/*.mp4')"] if videos else parts
    )


def _matches(pattern: str) -> list[str]:
    """What a pattern stands for; anything else stands for itself."""
    if "://" in pattern or os.path.lexists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if not matches:
        raise MediaError("no file fits the pattern", path=pattern)
    return [match for match in matches if not Path(match).is_dir()] if "**" in Path(pattern).parts else matches


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
