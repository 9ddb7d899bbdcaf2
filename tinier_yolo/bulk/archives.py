"""Pictures in archives: zip and tar, read where they lie, a member at a time.

A member is named ``zip://folder/a.jpg::photos.zip``, as fsspec names it. A tar that is not compressed needs no
directory: where its members lie is found in one pass, and each is read from its place. A compressed one would have to
be read from its beginning for every shard; it is refused.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tinier_yolo.errors import MediaError, UsageError
from tinier_yolo.media.images import MAX_BYTES

_SCHEMES = ("zip://", "tar://")
_COMPRESSED = (".tgz", ".tbz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
#: What the standard library raises for an archive that is damaged, encrypted, or compressed in a way it does not know.
_DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
)


class Span(NamedTuple):
    """Where a member lies in a tar, in bytes."""

    offset: int
    size: int


def is_member(source: str) -> bool:
    """Whether that names a member of an archive."""
    return source.startswith(_SCHEMES) and "::" in source


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its suffix.

    Raises:
        UsageError: it is a compressed tar.
    """
    name = path.name.lower()
    if name.endswith(_COMPRESSED):
        raise UsageError("a compressed tar has no way to a picture but from its beginning", path=path,
                         expected="a .zip, a .tar that is not compressed, or a folder")  # fmt: skip
    return name.endswith((".zip", ".tar"))


def members(path: Path, counts: Callable[[str], bool]) -> Iterator[tuple[str, Span | None]]:
    """The names of an archive's pictures, in the archive's order, with their places where it is a tar.

    Args:
        path: the archive.
        counts: whether a name is a picture's.

    Raises:
        MediaError: the archive cannot be read, or holds no picture.
    """
    seen = False
    try:
        for name, span in _tar(path, counts) if path.suffix.lower() == ".tar" else _zip(path, counts):
            yield f"{path.suffix[1:].lower()}://{name}::{path}", span
            seen = True
    except _DAMAGE as error:
        raise MediaError("cannot read the archive", path=path, found=_reason(error)) from error
    if not seen:
        raise MediaError("an archive without images", path=path)


def _zip(path: Path, counts: Callable[[str], bool]) -> Iterator[tuple[str, Span | None]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _visible(member.filename) and counts(member.filename):
                yield member.filename, None


def _tar(path: Path, counts: Callable[[str], bool]) -> Iterator[tuple[str, Span | None]]:
    with tarfile.open(path, "r:") as archive:
        while member := archive.next():
            archive.members = []  # type: ignore[attr-defined]  # It would keep every one.
            if member.isreg() and not member.sparse and _visible(member.name) and counts(member.name):
                yield member.name, Span(member.offset_data, member.size)


def _visible(name: str) -> bool:
    return "\0" not in name and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def read_member(source: str, span: Span | None = None, root: str = "") -> bytes:
    """The bytes of a member, at most one more than an image may have.

    Args:
        source: its name, as :func:`members` gives it or a user writes it.
        span: its place, where it is known.
        root: the folder in which a relative archive lies; the working folder if empty.

    Raises:
        MediaError: no such archive or member, or a damaged one.
    """
    # An archive's own name holds no "::"; a member's may.
    name, _, path = source[len(_SCHEMES[0]) :].rpartition("::")
    path = os.path.join(root, path)  # noqa: PTH118
    try:
        if span is not None:
            with open(path, "rb") as file:  # noqa: PTH123
                file.seek(span.offset)
                return file.read(min(span.size, MAX_BYTES + 1))
        if source.startswith("tar://"):
            return _read_from_tar(path, name)
        with _opened_zip(path, os.stat(path).st_mtime_ns).open(name) as member:  # noqa: PTH116
            return member.read(MAX_BYTES + 1)
    except KeyError:
        raise MediaError("no such member in the archive", path=source) from None
    except _DAMAGE as error:
        raise MediaError("cannot read the member of the archive", path=source, found=_reason(error)) from error


def _read_from_tar(path: str, name: str) -> bytes:
    with tarfile.open(path, "r:") as archive:
        file = archive.extractfile(archive.getmember(name))
        if file is None:
            raise KeyError(name)
        return file.read(MAX_BYTES + 1)


@lru_cache(maxsize=2)
def _opened_zip(path: str, _: int) -> zipfile.ZipFile:
    # Its directory is read once for a process, not once for a picture; ZipFile has a lock of its own.
    return zipfile.ZipFile(path)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
