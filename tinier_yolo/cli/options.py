"""Types of options that several verbs share."""

from __future__ import annotations

import argparse
import math


def size(text: str) -> int | tuple[int, int]:
    """A network's input: ``N`` or ``WxH``, in pixels."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"expected N or WxH, found {text!r}")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def tiles(text: str) -> tuple[int, int, int]:
    """``N`` or ``WxH``, and ``:OVERLAP`` or else a quarter of the smaller side, in pixels."""
    sides, colon, overlap = text.partition(":")
    try:
        given = size(sides)
        width, height = (given, given) if isinstance(given, int) else given
        return width, height, whole(overlap) if colon else min(width, height) // 4
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected WxH or WxH:OVERLAP, found {text!r}") from None


def named_file(text: str) -> tuple[str, str]:
    """``NAME=FILE``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, found {text!r}")
    return name, path


def pixel_range(text: str) -> tuple[float, float]:
    """A range of pixels, ``LOW-HIGH``: from LOW on, below HIGH; either may be left out."""
    low, dash, high = text.partition("-")
    try:
        limits = float(low or 0), float(high or "inf")
    except ValueError:
        limits = 1.0, 0.0
    if not dash or not 0 <= limits[0] < limits[1]:
        raise argparse.ArgumentTypeError(f"expected LOW-HIGH in pixels, found {text!r}")
    return limits


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number of at least 0."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, found {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return value


def face_heights(text: str) -> tuple[float, float]:
    """``LOW:HIGH``: pixels from 6, and a part of the input up to 2."""
    low, colon, high = text.partition(":")
    try:
        values = float(low), float(high)
    except ValueError:
        values = (0.0, 0.0)
    if not (colon and 6 <= values[0] <= 2000 and 0 < values[1] <= 2):
        raise argparse.ArgumentTypeError(f"{text} is not LOW:HIGH, such as 12:0.8 (pixels, and a part of the input)")
    return values
