"""The folder that results are written to, and the only way that a name from outside is joined to it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tinier_yolo.errors import OutputError, PathLike, printable

#: A part of a path is no longer on any file system in use.
MAX_NAME_BYTES = 255


def real_path(path: PathLike) -> Path:
    """The path without links. Unlike ``Path.resolve``, which raises there, it leaves a link to itself as it is."""
    return Path(os.path.realpath(path))


def inside(folder: PathLike, name: str, suffix: str = "") -> Path:
    """The file of a name below a folder, wherever the name comes from: a list, an archive, a .mat file.

    Parts that would lead out of the folder are dropped, and NUL bytes. Parts that are longer than file systems take are
    cut, and end with a digest of the whole.

    Args:
        folder: the folder.
        name: a path with slashes.
        suffix: what stands at the end of the file's name.
    """
    return Path(folder, f"{_shortened(_relative(name), MAX_NAME_BYTES - len(suffix.encode()))}{suffix}")


class OutputFolder:
    """A folder in which every source has a name of its own, and no file of the user's is written over.

    Args:
        folder: the folder; it is made when the first file is written.
        protected: files that must stay as they are: the sources themselves.
        reserved: names, without a suffix, that no source gets in any folder: other files are called so.
    """

    def __init__(self, folder: PathLike, protected: Iterable[PathLike] = (), reserved: Iterable[str] = ()) -> None:
        self.folder = Path(folder)
        self._protected = {real_path(path) for path in protected}
        self._reserved = frozenset(reserved)
        # Without case. Names, those whose folder holds frames, and folders of others that are called as frames are.
        self._taken: set[str] = set()
        self._of_frames: set[str] = set()
        self._of_numbers: set[str] = set()
        self._last: dict[str, int] = {}

    def check(self) -> None:
        """Find out whether the folder can be written to, and leave nothing behind.

        Raises:
            OutputError: it cannot.
        """
        place = next(path for path in (self.folder.absolute(), *self.folder.absolute().parents) if path.exists())
        try:
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            raise OutputError("cannot write into the output folder", path=self.folder, found=error.strerror) from error

    def claim(self, name: str, *suffixes: str, folder: bool = False) -> str:
        """A free name for a source's files.

        Args:
            name: a relative path, with or without a suffix; parts that would lead out of the folder are dropped.
            suffixes: of the files that will be written.
            folder: the folder of that name is the source's too, for files of its frames, which are called by number.

        Returns:
            A relative path without a suffix: that of ``name``, or with ``-2``, ``-3``, ... where it is taken.
        """
        room = _room(suffixes)
        first = free = PurePosixPath(self.own_name(name, *suffixes))
        # Compared without case: some file systems do.
        key = str(first).casefold()
        while not self._is_free(free, suffixes, folder):
            # Goes on where the last file of the name ended: of 2,000 the last one does not try 1,999 names.
            self._last[key] = self._last.get(key, 1) + 1
            free = _numbered(first, self._last[key], room)
        self._taken.add(str(free).casefold())
        if folder:
            self._of_frames.add(str(free).casefold())
        if free.name.isdecimal():
            self._of_numbers.add(str(free.parent).casefold())
        return str(free)

    @staticmethod
    def own_name(name: str, *suffixes: str) -> str:
        """What :meth:`claim` makes of a name that nobody else has."""
        return str(_shortened(_relative(_relative(name).with_suffix("").as_posix()), _room(suffixes)))

    def path(self, stem: str, suffix: str) -> Path:
        """The file of a claimed name."""
        return inside(self.folder, stem, suffix)

    def _is_free(self, stem: PurePosixPath, suffixes: tuple[str, ...], folder: bool) -> bool:
        key = str(stem).casefold()
        if key in self._taken or stem.name.casefold() in self._reserved:
            return False
        if folder and key in self._of_numbers:
            return False
        if stem.name.isdecimal() and str(stem.parent).casefold() in self._of_frames:
            return False
        return not any(real_path(self.path(str(stem), suffix)) in self._protected for suffix in suffixes)


def _relative(name: str) -> PurePosixPath:
    # Bytes that are no UTF-8 come as surrogates, which no text file takes; a line end would forge a record.
    path = PurePosixPath(printable(name.replace("\0", "")))
    parts = [part for part in path.parts if part not in ("..", path.anchor)]
    return PurePosixPath(*(parts or ["_"]))


def _shortened(path: PurePosixPath, room: int) -> PurePosixPath:
    # Every part as long as a file system takes it, the last one with room for what follows.
    limits = [MAX_NAME_BYTES] * (len(path.parts) - 1) + [room]
    return PurePosixPath(*map(_cut, path.parts, limits))


def _room(suffixes: tuple[str, ...]) -> int:
    return MAX_NAME_BYTES - max((len(suffix.encode()) for suffix in suffixes), default=0)


def _cut(part: str, limit: int) -> str:
    content = part.encode()
    if len(content) <= limit:
        return part
    digest = "-" + hashlib.sha256(content).hexdigest()[:8]
    return content[: limit - len(digest)].decode("utf-8", "ignore") + digest


def _numbered(stem: PurePosixPath, number: int, room: int) -> PurePosixPath:
    tag = f"-{number}"
    return stem.with_name(_cut(stem.name, room - len(tag)) + tag)
