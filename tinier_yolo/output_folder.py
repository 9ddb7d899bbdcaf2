"""The folder that results are written to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tinier_yolo.errors import OutputError, PathLike


def real_path(path: PathLike) -> Path:
    """The path without links. Unlike ``Path.resolve``, which raises there, it leaves a link to itself as it is."""
    return Path(os.path.realpath(path))


class OutputFolder:
    """A folder in which every source has a name of its own, and no file of the user's is written over.

    Args:
        folder: the folder; it is made when the first file is written.
        protected: files that must stay as they are: the sources themselves.
    """

    def __init__(self, folder: PathLike, protected: Iterable[PathLike] = ()) -> None:
        self.folder = Path(folder)
        self._protected = {real_path(path) for path in protected}
        self._taken: set[str] = set()

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

    def claim(self, name: str, *suffixes: str) -> str:
        """A free name for a source's files.

        Args:
            name: a relative path, with or without a suffix; parts that would lead out of the folder are dropped.
            suffixes: of the files that will be written.

        Returns:
            A relative path without a suffix: that of ``name``, or with ``-2``, ``-3``, ... where it is taken.
        """
        # A name that is not UTF-8 comes with surrogates, which no text file takes.
        path = PurePosixPath(name.encode("utf-8", "backslashreplace").decode())
        stem = PurePosixPath(*(part for part in path.parts if part not in ("..", path.anchor))).with_suffix("")
        number, free = 1, stem
        while not self._is_free(free, suffixes):
            number += 1
            free = stem.with_name(f"{stem.name}-{number}")
        # Compared without case: some file systems do.
        self._taken.add(str(free).casefold())
        return str(free)

    def path(self, stem: str, suffix: str) -> Path:
        """The file of a claimed name."""
        return self.folder / f"{stem}{suffix}"

    def _is_free(self, stem: PurePosixPath, suffixes: tuple[str, ...]) -> bool:
        if str(stem).casefold() in self._taken:
            return False
        return not any(real_path(self.path(str(stem), suffix)) in self._protected for suffix in suffixes)
