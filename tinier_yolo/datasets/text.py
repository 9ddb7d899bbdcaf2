"""The text of data files: of bounded size, without NUL bytes, with line ends of any kind."""

from __future__ import annotations

import io
from pathlib import Path

from tinier_yolo.errors import DataError, PathLike

#: Larger files are no lists or labels.
MAX_BYTES = 1 << 28
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
