"""The record files of FDDB and WIDER FACE: a name, a count, then that many lines of numbers; again and again.

Annotations and detections of both benchmarks are written in this form; they differ in the columns alone. FDDB's
official program reads its lines as C++ streams do, and public files show it: counts such as ``1.0``, further columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.text import read_lines
from tinier_yolo.errors import DataError, PathLike

# What "ifstream >> int" makes a whole number of, without what would change it: 1.5 and 1e1 are no counts. Words may
# follow it; numbers may not, since that is a row.
_COUNT = re.compile(r"\+?([0-9]{1,9})(?:\.0*)?(?:[eE][+-]?0+)?(?:\s.*)?")
# What "ifstream >> double" takes of the last column.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# What begins like a number and means another: 0,9, 1_000, 0x9.
_OTHER_NUMBER = re.compile(r"[+-]?(?:[0-9.]+[,_]|0[xX])")

#: Says what is wrong with a row, or nothing.
Check = Callable[[Sequence[float]], str]


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


def read_records(
    path: PathLike,
    columns: Sequence[str],
    what: str,
    *,
    more: bool = False,
    check: Check | None = None,
    left_out: list[str] | None = None,
) -> tuple[Record, ...]:
    """Read a file of records. Blank lines and any kind of line end are accepted.

    A count of 0 may be followed by one line of zeros, as WIDER FACE's training annotations have it; it is skipped.

    Args:
        path: the file.
        columns: names of the columns, in order.
        what: what the file is, for messages: ``"FDDB ellipse list"``.
        more: further columns may follow, which are not read.
        check: looks at the numbers of each row.
        left_out: lines that are wrong are left out, and what is wrong with each is added here; None: an error.

    Raises:
        DataError: names file and line of a bad count, a line of another form, a number that is not finite, a record
            that the end of the file cuts off, or a file without records.
    """
    reader = _Reader(read_lines(path, what), columns, Path(path), more, check, left_out)
    records = tuple(reader.records())
    if not records:
        raise DataError(f"an empty {what}", path=path)
    return records


def index_records(records: Iterable[Record], left_out: list[str] | None = None) -> dict[str, Record]:
    """Records by name.

    Args:
        records: the records.
        left_out: as of :func:`read_records`: the first of two records counts.

    Raises:
        DataError: a name appears twice; names both places.
    """
    index: dict[str, Record] = {}
    for record in records:
        first = index.setdefault(record.name, record)
        if first is not record:
            found = f"also {first.path.name} {first.place()}"
            problem = DataError(f"{record.name[:80]} twice", path=record.path, place=record.place(), found=found)
            leave_out(problem, left_out)
    return index


def leave_out(problem: DataError, left_out: list[str] | None) -> None:
    """Add what is wrong to ``left_out``, or raise it where that is None."""
    if left_out is None:
        raise problem
    left_out.append(str(problem))


def row_lengths(path: PathLike, what: str) -> set[int]:
    """How many numbers the lines of a file of records hold that hold numbers alone, more than one of them.

    Raises:
        DataError: the file cannot be read.
    """
    return {length for _, line in read_lines(path, what) if (length := len(_numbers(line))) > 1}


class _Reader:
    def __init__(
        self,
        lines: Sequence[tuple[int, str]],
        columns: Sequence[str],
        path: Path,
        more: bool,
        check: Check | None,
        left_out: list[str] | None,
    ) -> None:
        self._lines, self._columns, self._path = lines, columns, path
        self._more, self._check, self._left_out = more, check, left_out

    def records(self) -> Iterator[Record]:
        """The records. Where lines are left out, names, counts and rows are told apart by their looks."""
        at = 0
        while at < len(self._lines):
            number, name = self._lines[at]
            if len(_numbers(name)) >= len(self._columns):
                self._wrong(number, "numbers where a name should be", "a name, or a larger count above", name)
                at += 1
                continue
            count, body = self._count(at + 1, name)
            if count is None:  # a name alone
                at = body
                continue
            rows, at = self._rows(body, count, name)
            values = np.array([row for _, row in rows], np.float64).reshape(len(rows), len(self._columns))
            yield Record(name, values, self._path, (number, *(line for line, _ in rows)))
            if count == 0 and at < len(self._lines) and self._is_zeros(self._lines[at][1]):
                at += 1

    def _count(self, at: int, name: str) -> tuple[int | None, int]:
        # The count and the place of the first row; no count where the next record begins there.
        expected = f"the number of lines of {name[:80]}"
        if at == len(self._lines):
            self._wrong(self._lines[-1][0], "the file ends after a name", expected, "nothing")
            return None, at
        number, text = self._lines[at]
        count = _count(text)
        if count is not None:
            return count, at + 1
        self._wrong(number, "bad count", expected, text)
        if self._is_count(at + 1):
            return None, at
        first = at if len(_numbers(text)) > 1 else at + 1
        end = first
        while end < len(self._lines) and len(_numbers(self._lines[end][1])) > 1:
            end += 1
        return end - first, first

    def _rows(self, at: int, count: int, name: str) -> tuple[list[tuple[int, list[float]]], int]:
        # The good ones of a record's rows, with their lines, and the place after them.
        rows: list[tuple[int, list[float]]] = []
        for place in range(at, at + count):
            is_next = place < len(self._lines) and self._is_name(place)
            if place == len(self._lines) or (is_next and self._left_out is not None):
                where = "the next record begins" if is_next else "the file ends"
                line = self._lines[place - 1][0]
                self._wrong(line, f"{where} inside the record of {name[:80]}", f"{count} lines", f"{place - at}")
                return rows, place
            number, text = self._lines[place]
            row, problem = self._row(text)
            if problem:
                self._wrong(number, problem, " ".join(self._columns), text)
            else:
                rows.append((number, row))
        return rows, at + count

    def _row(self, text: str) -> tuple[list[float], str]:
        # The numbers of a row, and what is wrong with them.
        fields, width = text.split(), len(self._columns)
        if self._more and len(fields) >= width:
            last = _NUMBER.match(fields[width - 1])
            # The official program takes 0,9 and 0x9 for 0, and its curve means nothing then: rather no number at all.
            if last and not _OTHER_NUMBER.match(fields[width - 1]):
                fields = [*fields[: width - 1], last[0]]
        row = _floats(fields)
        if len(row) != width:
            return row, "malformed line"
        for column, value in zip(self._columns, row, strict=True):
            if not math.isfinite(value):
                return row, f"{column} is not a finite number"
        return row, self._check(row) if self._check else ""

    def _is_zeros(self, text: str) -> bool:
        numbers = _numbers(text)
        return len(numbers) == len(self._columns) and not any(numbers)

    def _is_name(self, at: int) -> bool:
        return not _numbers(self._lines[at][1]) and self._is_count(at + 1)

    def _is_count(self, at: int) -> bool:
        return at < len(self._lines) and _count(self._lines[at][1]) is not None

    def _wrong(self, line: int, problem: str, expected: str, found: str) -> None:
        place = f"line {line}"
        leave_out(DataError(problem, path=self._path, place=place, expected=expected, found=found[:60]), self._left_out)


def _count(text: str) -> int | None:
    found = _COUNT.fullmatch(text)
    return int(found[1]) if found and len(_numbers(text)) <= 1 else None


def _numbers(text: str) -> list[float]:
    # Of a line that holds nothing else.
    return _floats(text.split())


def _floats(fields: Sequence[str]) -> list[float]:
    try:
        # Python takes 1_000 for a number, and the digits of every script.
        plain = all("_" not in field and field.isascii() for field in fields)
        return [float(field) for field in fields] if plain else []
    except ValueError:
        return []
