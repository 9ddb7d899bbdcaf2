"""The text of data files: of bounded size, without NUL bytes, with line ends of any kind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tinier_yolo.errors import DataError, PathLike

#: Larger files are no lists or labels.
MAX_BYTES = 1 << 28
#: The most characters of a line of a list that is read line by line: no path or address is longer.
MAX_LINE = 1 << 15
# DOS programs end a text with this character; FDDB's published files have it.
_DOS_END = "\x1a"


def read_text(path: PathLike, what: str, errors: str = "strict") -> str:
    """The text of a data file, its line ends as line feeds, without a byte-order mark or DOS's end-of-file character.

    Args:
        path: the file.
        what: what it is, for messages: ``"image list"``.
        errors: what becomes of bytes that are not UTF-8, as of ``bytes.decode``.

    Raises:
        DataError: the file cannot be read, is larger than 256 MiB, is not UTF-8, or holds a NUL byte.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read the {what}", path=path, found=error.strerror) from error
    if len(content) > MAX_BYTES:
        raise DataError(f"too large for a {what}", path=path, expected=f"at most {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} is not UTF-8 text", path=path, place=f"byte {error.start}") from error
    text = io.StringIO(text, newline=None).read()
    if "\0" in text:
        place = f"line {text[: text.index(chr(0))].count(chr(10)) + 1}"
        raise DataError(f"a NUL byte in the {what}", path=path, place=place, expected="text")
    # Only at the very end: elsewhere it is a character like others.
    end = text.rstrip()
    return end.rstrip(_DOS_END) if end.endswith(_DOS_END) else text


def read_lines(path: PathLike, what: str, errors: str = "strict") -> list[tuple[int, str]]:
    """The lines of a data file that are not blank, without space around them, and their numbers, from 1.

    Only line feeds and carriage returns end a line: names may hold other characters that Python's ``splitlines`` ends
    lines at.

    Raises:
        DataError: as :func:`read_text`.
    """
    lines = enumerate(read_text(path, what, errors).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def stream_lines(path: PathLike, what: str) -> Iterator[tuple[int, str]]:
    """The lines of :func:`read_lines`, one after the other, of a file of any size.

    Raises:
        DataError: as :func:`read_text`, with the number of the line, or a line is longer than ``MAX_LINE``.
    """
    try:
        with Path(path).open("rb") as file:
            yield from lines_of(file, path, what)
    except OSError as error:
        raise DataError(f"cannot read the {what}", path=path, found=error.strerror) from error


def lines_of(file: IO[bytes], path: PathLike, what: str) -> Iterator[tuple[int, str]]:
    """:func:`stream_lines` of an open file; ``path`` is what errors call it."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline=None)
    waiting: tuple[int, str] | None = None
    for number, line in enumerate(_bounded(text, path, what), start=1):
        if line.strip():
            if waiting:
                yield waiting
            waiting = number, line.strip()
    if waiting:
        number, line = waiting
        last = line.rstrip(_DOS_END).strip()
        if last:
            yield number, last


def _bounded(text: IO[str], path: PathLike, what: str) -> Iterator[str]:
    number = 1
    try:
        while line := text.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE or "\0" in line:
                problem = f"a NUL byte in the {what}" if "\0" in line else f"a line too long for a {what}"
                raise DataError(
                    problem, path=path, place=f"line {number}", expected=f"at most {MAX_LINE} characters of text"
                )
            yield line
            number += 1
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} is not UTF-8 text", path=path, place=f"line {number}") from error
