"""Choosing images of WIDER FACE by the attributes of their faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.wider import WIDER_ATTRIBUTES, WiderImage
from tinier_yolo.errors import UsageError
from tinier_yolo.eval.heights import Heights, in_range

#: The name of an attribute and its value's number, or "event" and a part of an event's name.
Condition = tuple[str, str | int]


def parse_attribute(text: str) -> Condition:
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


def wider_faces(image: WiderImage, conditions: Sequence[Condition], heights: Heights) -> NDArray[np.bool_]:
    """Which faces (n,) of an image are valid, in the range of heights (pixels, [low, high)) and meet all conditions."""
    fits = ~image.invalid & in_range(image.boxes[:, 3], heights)
    for name, value in conditions:
        if name == "event":
            fits = fits & (str(value).lower() in image.event.lower())
        else:
            fits = fits & (image.attribute(name) == value)
    return fits
