"""What a bulk run works through: lists, folders, patterns, archives and addresses as a stream of pictures' names.

Nothing here holds a whole list. What is held at once are the names of one folder or of one pattern, which are sorted,
and the directory of one zip.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tinier_yolo.bulk import archives, remote
from tinier_yolo.datasets.paths import locate
from tinier_yolo.datasets.text import lines_of, stream_lines
from tinier_yolo.errors import DataError, MediaError, PathLike, UsageError, warn
from tinier_yolo.media.addresses import is_address
from tinier_yolo.media.images import STANDARD_INPUT
from tinier_yolo.media.sources import IMAGE_SUFFIXES

_WHAT = "image list"


class Entry(NamedTuple):
    """A picture of the run.

    Attributes:
        source: its path or address as the user wrote it; for results and for reading.
        beside: the folder of the list that names it, which is looked at after the working folder; None for the others.
        member: where it lies in a tar.
    """

    source: str
    beside: str | None = None
    member: archives.Span | None = None


class Shard(NamedTuple):
    """The pictures whose results make one file, in order."""

    number: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Survey:
    """A list, counted.

    Attributes:
        images: how many pictures it names.
        digest: SHA-256 of the names, in hexadecimal.
        marks: the first bytes of that of the names up to the end of each shard.
    """

    images: int
    digest: str
    marks: tuple[bytes, ...]


def read_entries(arguments: Iterable[str], skip: PathLike | None = None) -> Iterator[Entry]:
    """The pictures that arguments stand for, in order.

    - a folder stands for the images in it and below it, as in :func:`tinier_yolo.media.sources.expand`;
    - so do a pattern (``*``, ``?``, ``[``), and archives: ``.zip``, and ``.tar`` that is not compressed;
    - ``.txt`` is a list, a path or an address a line;
    - ``s3://``, ``gs://`` and others go through fsspec: a list, a folder that ends with a slash, a pattern, a picture;
    - anything else is a picture.

    Args:
        arguments: as the user gave them.
        skip: a folder that does not count when a folder is searched: that of the output.

    Raises:
        TinierYoloError: an argument stands for nothing, or cannot be read.
    """
    folder = None if skip is None else os.path.realpath(skip)
    for argument in arguments:
        yield from _entries_of(argument, folder)


def survey(entries: Iterable[Entry], length: int) -> Survey:
    """Count the pictures and take their names' hash; ``length`` of them make a shard.

    Raises:
        DataError: there is none; and as :func:`read_entries`.
    """
    counted = _Counted(entries)
    stream, marks = iter(counted), []
    while sum(1 for _ in islice(stream, length)):
        marks.append(counted.mark())
    if not counted.images:
        raise DataError("no images to detect in")
    return Survey(counted.images, counted.digest(), tuple(marks))


def shards(entries: Iterable[Entry], length: int, expected: Survey) -> Iterator[Shard]:
    """Cut the stream into shards of a length, as long as it is what was counted.

    Raises:
        DataError: it is not, before the first shard that differs is given; and as :func:`read_entries`.
    """
    counted = _Counted(entries)
    stream = iter(counted)
    number = 0
    while chunk := tuple(islice(stream, length)):
        # Found out before anything is written: a shard that is there counts as done when the run is resumed.
        if expected.marks[number : number + 1] != (counted.mark(),):
            raise _changed(counted, expected)
        yield Shard(number, chunk)
        number += 1
    if counted.images != expected.images:
        raise _changed(counted, expected)


def _changed(counted: _Counted, expected: Survey) -> DataError:
    return DataError(
        "the list of images has changed during the run", expected=f"{expected.images} images as counted before",
        found=f"another one among the first {counted.images}",
    )  # fmt: skip


class _Counted:
    """A stream that counts what it gives and takes its hash on the way."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries, self._hash, self.images = entries, hashlib.sha256(), 0

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            # No name holds a NUL, so that no two lists make the same bytes.
            self._hash.update(os.fsencode(entry.source) + b"\0")
            self.images += 1
            yield entry

    def digest(self) -> str:
        return self._hash.hexdigest()

    def mark(self) -> bytes:
        return self._hash.digest()[:8]


def located(shard: Shard) -> Shard:
    """The same with the lists' entries found on this machine, as :func:`tinier_yolo.datasets.paths.locate` says."""
    return Shard(shard.number, tuple(_located(entry) for entry in shard.entries))


def _located(entry: Entry) -> Entry:
    source, beside = entry.source, entry.beside
    if beside is None or remote.is_remote(source) or is_address(source) or archives.is_member(source):
        return Entry(source, None, entry.member)
    if remote.is_remote(beside):
        return Entry(f"{beside}/{source}")
    path, other = locate(source, Path(beside))
    if other:
        warn("a file is in the working folder and beside the list; that of the working folder counts", path=source)
    return Entry(str(path))


def _entries_of(argument: str, skip: str | None) -> Iterator[Entry]:
    if remote.is_remote(argument):
        return _remote(argument)
    if is_address(argument) or archives.is_member(argument):
        return iter([Entry(argument)])
    path = Path(argument)
    if argument == STANDARD_INPUT or (argument.isdecimal() and not path.exists()) or path.suffix == ".streams":
        raise UsageError(
            "a bulk run reads pictures alone", expected="files, lists, archives, addresses", found=argument
        )
    if path.is_dir():
        return _folder(path, skip)
    if not os.path.lexists(path) and glob.has_magic(argument):
        return _pattern(argument, skip)
    if path.suffix.lower() == ".txt":
        return (Entry(line, str(path.parent)) for _, line in stream_lines(path, _WHAT))
    if archives.is_archive(path):
        members = archives.members(path, _is_picture)
        return (Entry(name, None, span) for name, span in members)
    return iter([Entry(str(path))])


def _folder(folder: Path, skip: str | None) -> Iterator[Entry]:
    seen = False
    for path in _walk(str(folder), skip):
        yield Entry(str(Path(path)))
        seen = True
    if not seen:
        raise MediaError("a folder without images", path=folder, expected="files such as .jpg or .png")


def _walk(folder: str, skip: str | None) -> Iterator[str]:
    # By name, folders among the files: the order of sorted paths, without holding them.
    try:
        with os.scandir(folder) as scan:
            found = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise MediaError("cannot look into the folder", path=folder, found=error.strerror) from error
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            if skip is None or os.path.realpath(entry.path) != skip:
                yield from _walk(entry.path, skip)
        elif _is_picture(entry.name) and entry.is_file():
            yield entry.path


def _pattern(pattern: str, skip: str | None) -> Iterator[Entry]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if not matches:
        raise MediaError("no file fits the pattern", path=pattern)
    deep = "**" in Path(pattern).parts
    for match in matches:
        if not (deep and Path(match).is_dir()):
            yield from _entries_of(match, skip)


def _remote(address: str) -> Iterator[Entry]:
    if address.lower().endswith(".txt"):
        beside = address.rpartition("/")[0]
        with remote.opened(address) as file:
            yield from (Entry(line, beside) for _, line in lines_of(file, address, _WHAT))
    elif address.endswith("/") or glob.has_magic(address):
        yield from (Entry(found) for found in remote.find(address) if _is_picture(found))
    else:
        yield Entry(address)


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (a million times, or more)


def check_arguments(arguments: Sequence[str]) -> None:
    """Find out before any work whether what the arguments need is installed.

    Raises:
        UsageError: it is not.
    """
    for argument in arguments:
        if remote.is_remote(argument):
            remote.check(argument)
