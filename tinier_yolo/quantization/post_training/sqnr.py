"""Signal-to-quantisation-noise ratios: measured on values, predicted through a network. Source: Lin et al. 2016."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from tinier_yolo.ifq.fixed_point.number_format import NumberFormat


def measured_sqnr(values: ArrayLike, approximated: ArrayLike) -> float:
    """10 log10(sum x^2 / sum (x - x')^2) in decibels; infinite where nothing differs, -infinite without a signal."""
    exact = np.asarray(values, np.float64)
    signal = float(np.square(exact).sum())
    noise = float(np.square(exact - np.asarray(approximated, np.float64)).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def format_sqnr(values: ArrayLike, numbers: NumberFormat) -> float:
    """The SQNR of values that are rounded to a format, in decibels."""
    return measured_sqnr(values, numbers.rounded(values))


def output_sqnr(parts: Iterable[float]) -> float:
    """The SQNR at the output of a chain of layers, in decibels.

    1/gamma = sum over all layers of 1/gamma_w + 1/gamma_x: noise adds up, wherever it arises.

    Args:
        parts: the SQNR of every weight and map tensor, in decibels.
    """
    noise = sum(10 ** (-part / 10) for part in parts)
    return -10 * math.log10(noise) if noise > 0 else math.inf
