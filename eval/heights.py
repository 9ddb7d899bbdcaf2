"""Ranges of face height, in pixels: their names, and what belongs to them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: A range [low, high) in pixels.
Heights = tuple[float, float]

ALL_HEIGHTS: Heights = (0, math.inf)


def in_range(height: NDArray[np.float64], heights: Heights) -> NDArray[np.bool_]:
    """Which of some heights (n,) belong to a range."""
    return (height >= heights[0]) & (height < heights[1])


def label(heights: Heights) -> str:
    """What tables call a range: ``under 16``, ``16-32``, ``over 64``."""
    low, high = heights
    return f"under {high:g}" if low == 0 else f"over {low:g}" if high == math.inf else f"{low:g}-{high:g}"
