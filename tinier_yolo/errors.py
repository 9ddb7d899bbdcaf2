"""The errors of the package, one base and one subclass for each kind of input; and its warnings.

Each error is one line that says where (file, place), what is wrong, what was expected and what was found. The
command line prints that line and exits with code 2; a traceback appears only with ``--debug``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

PathLike = str | os.PathLike[str]
#: The most characters of a line that tells of an error, if its problem is short; and of its parts in a longer one,
#: where a path keeps its end, the others their beginning.
LONGEST_LINE = 300
_LONGEST = {"path": 80, "place": 30, "expected": 50, "found": 30}


def printable(text: str) -> str:
    """Text without what a terminal obeys or a record format takes for the end of a line.

    Control characters, line ends, marks that turn the direction of writing, and bytes that were no UTF-8 become
    backslash escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class TinierYoloError(Exception):
    """Bad input or bad usage, told in one line.

    Args:
        problem: what is wrong, in a few words.
        path: the file (or folder) in which it was met.
        place: where in that file: ``"line 12, [convolutional] filters"``, ``"byte 20"``, a tensor's name.
        expected: what would have been right.
        found: what stood there instead.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: PathLike | None = None,
        place: str | None = None,
        expected: Any = None,
        found: Any = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else os.fspath(path)
        self.place = place
        self.expected = expected
        self.found = found
        super().__init__(str(self))

    def __str__(self) -> str:
        line = self._line(_one_line)
        return line if len(line) <= LONGEST_LINE else self._line(_cut)

    def _line(self, form: Callable[[object, str], str]) -> str:
        parts = {"path": self.path, "place": self.place, "expected": self.expected, "found": self.found}
        told = {name: form(value, name) for name, value in parts.items() if value is not None}
        where = ": ".join(told[name] for name in ("path", "place") if told.get(name))
        detail = ", ".join(f"{name} {told[name]}" for name in ("expected", "found") if name in told)
        problem = _one_line(self.problem)
        line = f"{where}: {problem}" if where else problem
        return f"{line} ({detail})" if detail else line


def _one_line(value: object, _: str = "") -> str:
    return printable(" ".join(str(value).split()))


def _cut(value: object, name: str) -> str:
    text, most = _one_line(value), _LONGEST[name]
    if len(text) <= most:
        return text
    return f"...{text[3 - most :]}" if name == "path" else f"{text[: most - 3]}..."


class CfgError(TinierYoloError):
    """A cfg that cannot be read, or a network that it cannot describe."""


class WeightsError(TinierYoloError):
    """A .weights file that is unreadable, short, too long, or another network's."""


class DataError(TinierYoloError):
    """A .data, .names, list, label or annotation file that cannot be used."""


class ProgramError(TinierYoloError):
    """An .ifq file that is damaged or not ours, or an integer program that cannot run."""


class ConversionError(TinierYoloError):
    """A network that has no integer program: not quantised, or its numbers do not fit."""


class MediaError(TinierYoloError):
    """An image, video or camera that cannot be read."""


class OutputError(TinierYoloError):
    """A file or a folder that cannot be written, or a picture or video that has no form there."""


class DetectionsError(DataError):
    """Detections that can be read and yet do not fit: what they say, or what they are said of."""


class UsageError(TinierYoloError):
    """Options of the command line, or arguments of the API, that do not go together."""


class TinierYoloWarning(UserWarning):
    """What was left out of a file, or taken in one of two ways, told in one line; the command line prints it."""


def warn(problem: str, **details: Any) -> None:
    """Warn of something that does not stop the work.

    Args:
        problem: what it is, in a few words.
        details: path, place, expected and found, as of :class:`TinierYoloError`.
    """
    warnings.warn(str(TinierYoloError(problem, **details)), TinierYoloWarning, stacklevel=3)
