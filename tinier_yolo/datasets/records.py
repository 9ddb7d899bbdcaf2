"""The record files of FDDB and WIDER FACE: a name, a count, then that many lines of numbers; again and again.

Annotations and detections of both benchmarks are written in this form; they differ in the columns alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.labels import read_text
from tinier_yolo.errors import DataError, PathLike


@dataclass(frozen=True, eq=False)
class Record:
    """One record of such a file.

    Attributes:
        name: its first line, an image as a rule.
        rows: float64 (n, columns), finite; in the order of the file.
        path: the file.
        lines: the numbers of its lines, from 1: the name's first, then a number for each row.
    """

    name: str
    rows: NDArray[np.float64]
    path: Path
    lines: tuple[int, ...]

    def place(self, row: int | None = None) -> str:
        """Where the record, or one of its rows, stands in the file, for a message."""
        return f"line {self.lines[0 if row is None else row + 1]}"


def read_records(path: PathLike, columns: Sequence[str], what: str) -> tuple[Record, ...]:
    """Read a file of records. Blank lines and any kind of line end are accepted.

    A count of 0 may be followed by one line of zeros, as WIDER FACE's training annotations have it; it is skipped.

    Args:
        path: the file.
        columns: names of the columns, in order.
        what: what the file is, for messages: ``"FDDB ellipse list"``.

    Raises:
        DataError: names file and line of a bad count, a line of another form, a number that is not finite, a record
            that the end of the file cuts off, or a file without records.
    """
    text = read_text(path, what)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    try:
        records = tuple(_records(lines, columns, Path(path)))
    except _MalformedError as problem:
        place = f"line {problem.line}"
        raise DataError(problem.text, path=path, place=place, expected=problem.expected, found=problem.found) from None
    if not records:
        raise DataError(f"an empty {what}", path=path)
    return records


def index_records(records: Iterable[Record]) -> dict[str, Record]:
    """Records by name.

    Raises:
        DataError: a name appears twice; names both places.
    """
    index: dict[str, Record] = {}
    for record in records:
        first = index.setdefault(record.name, record)
        if first is not record:
            found = f"also {first.path.name} {first.place()}"
            raise DataError(f"{record.name[:80]} twice", path=record.path, place=record.place(), found=found)
    return index


class _MalformedError(Exception):
    def __init__(self, line: int, text: str, expected: str, found: str) -> None:
        super().__init__(text)
        self.line, self.text, self.expected, self.found = line, text, expected, found[:60]


def _records(lines: Sequence[tuple[int, str]], columns: Sequence[str], path: Path) -> Iterator[Record]:
    at = 0
    while at < len(lines):
        number, name = lines[at][0], lines[at][1].strip()
        count = _count(lines, at + 1, name)
        body = lines[at + 2 : at + 2 + count]
        if len(body) < count:
            problem = f"the file ends inside the record of {name[:80]}"
            raise _MalformedError(lines[-1][0], problem, f"{count} lines", f"{len(body)}")
        rows = np.array([_row(line, text, columns) for line, text in body], np.float64)
        yield Record(name, rows.reshape(count, len(columns)), path, (number, *(line for line, _ in body)))
        at += 2 + count
        if count == 0 and at < len(lines) and lines[at][1].split() == ["0"] * len(columns):
            at += 1


def _count(lines: Sequence[tuple[int, str]], at: int, name: str) -> int:
    expected = f"the number of lines of {name[:80]}"
    if at == len(lines):
        raise _MalformedError(lines[-1][0], "the file ends after a name", expected, "nothing")
    number, text = lines[at]
    # Not int() alone: "1_000" or "+3" is a sign that something else stands there.
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", text) is None:
        raise _MalformedError(number, "bad count", expected, text.strip())
    return int(text)


def _row(number: int, text: str, columns: Sequence[str]) -> list[float]:
    expected = " ".join(columns)
    try:
        row = [float(field) for field in text.split()]
    except ValueError:
        row = []
    if len(row) != len(columns):
        raise _MalformedError(number, "malformed line", expected, text.strip())
    for column, value in zip(columns, row, strict=True):
        if not math.isfinite(value):
            raise _MalformedError(number, f"{column} is not a finite number", expected, text.strip())
    return row
