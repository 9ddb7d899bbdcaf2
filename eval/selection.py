"""Choosing images for the qualitative figure: by name, by attribute, by the size of their faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.wider import WIDER_ATTRIBUTES, WiderImage
from tinier_yolo.errors import UsageError

Heights = tuple[float, float]


def choose(candidates: Sequence[str], count: int) -> list[str]:
    """``count`` of the candidates, spread evenly over them; all if there are fewer.

    Raises:
        UsageError: there are none.
    """
    if not candidates:
        raise UsageError("no image has a face of that kind")
    picked = np.unique(np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int))
    return [candidates[index] for index in picked]


def check_names(names: Sequence[str], known: Mapping[str, object]) -> list[str]:
    """The names as given.

    Raises:
        UsageError: one of them is no image of the set.
    """
    for name in names:
        if name not in known:
            raise UsageError("no such image in the set", found=name[:80], expected=f"for example {next(iter(known))}")
    return list(names)


def parse_attribute(text: str) -> tuple[str, str | int]:
    """A condition such as ``blur=heavy``, ``pose=1`` or ``event=Parade``: the attribute and its value's number.

    An event's condition is a part of its name.

    Raises:
        UsageError: no such attribute or value.
    """
    name, _, value = text.partition("=")
    if name == "event" and value:
        return name, value
    values = WIDER_ATTRIBUTES.get(name, ())
    if value in values:
        return name, values.index(value)
    if value.isascii() and value.isdecimal() and int(value) < len(values):
        return name, int(value)
    known = "; ".join(f"{key}={'|'.join(words)}" for key, words in WIDER_ATTRIBUTES.items())
    raise UsageError("unknown attribute", expected=f"{known}; event=TEXT", found=text[:60])


def wider_faces(image: WiderImage, conditions: Sequence[tuple[str, str | int]], heights: Heights) -> NDArray[np.bool_]:
    """Which faces (n,) of an image are valid, in the range of heights (pixels, [low, high)) and meet all conditions."""
    fits = ~image.invalid & (image.boxes[:, 3] >= heights[0]) & (image.boxes[:, 3] < heights[1])
    for name, value in conditions:
        if name == "event":
            fits = fits & (str(value).lower() in image.event.lower())
        else:
            fits = fits & (image.attribute(name) == value)
    return fits
