"""Tables for sigmoid and exp in fixed point, the C's arithmetic over them in NumPy, and how far that is off at most.

All arguments are in units of 2^-16. Between two entries both functions are drawn as a straight line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

#: Fraction bits of an argument, and of a sigmoid.
FRACTION = 16
#: Sigmoid: entries 2^-5 apart for 0..12; beyond, the last one.
SIGMOID_STEP, SIGMOID_END = 5, 12
#: 2^f for f in 0..1: entries 2^-8 apart, 30 fraction bits.
POWER_STEP, POWER_BITS = 8, 30
#: log2(e), 30 fraction bits.
LOG2_E = round(np.log2(np.e) * (1 << 30))
#: |t| of an exp is cut here: e^16 is the decoder's own limit, and e^-16 of anything is less than a pixel.
EXP_END = 16


def sigmoid_table() -> NDArray[np.uint16]:
    """sigmoid(i * 2^-5) in units of 2^-16, and one entry more than the range for the last line."""
    x = np.arange((SIGMOID_END << SIGMOID_STEP) + 2) / (1 << SIGMOID_STEP)
    return np.minimum(np.rint((1 << FRACTION) / (1 + np.exp(-x))), (1 << FRACTION) - 1).astype(np.uint16)


def power_table() -> NDArray[np.uint32]:
    """2^(i * 2^-8) in units of 2^-30, i = 0..256."""
    powers = np.exp2(np.arange((1 << POWER_STEP) + 1) / (1 << POWER_STEP))
    return np.asarray(np.rint(powers * (1 << POWER_BITS)), np.uint32)


def sigmoid(x: Int64) -> Int64:
    """What the C gives, in units of 2^-16."""
    table, rest = sigmoid_table().astype(np.int64), FRACTION - SIGMOID_STEP
    cut = np.minimum(np.abs(x), SIGMOID_END << FRACTION)
    at, part = cut >> rest, cut & (1 << rest) - 1
    value = table[at] + ((table[at + 1] - table[at]) * part + (1 << rest - 1) >> rest)
    return np.asarray(np.where(x < 0, (1 << FRACTION) - value, value), np.int64)


def exp(x: Int64) -> tuple[Int64, Int64]:
    """What the C gives: a mantissa in units of 2^-30, 1..2, and an exponent of 2."""
    cut = np.clip(x, -(EXP_END << FRACTION), EXP_END << FRACTION)
    scaled = cut * LOG2_E >> 30 - (POWER_BITS - FRACTION)  # 30 fraction bits
    exponent, fraction = scaled >> POWER_BITS, scaled & (1 << POWER_BITS) - 1
    rest = POWER_BITS - POWER_STEP
    table = power_table().astype(np.int64)
    at, part = fraction >> rest, fraction & (1 << rest) - 1
    return table[at] + ((table[at + 1] - table[at]) * part >> rest), exponent


def sigmoid_error() -> float:
    """The largest error of :func:`sigmoid` over all arguments, by enumeration of those that the cut leaves apart."""
    x = np.arange(-(SIGMOID_END << FRACTION) - 1, (SIGMOID_END << FRACTION) + 2)
    exact = 1 / (1 + np.exp(-x / (1 << FRACTION)))
    inside = np.abs(sigmoid(x) / (1 << FRACTION) - exact).max()
    beyond = 1 / (1 + np.exp(SIGMOID_END))  # the exact value goes on towards 1 and 0
    return float(max(inside, beyond))


def exp_error() -> float:
    """The largest relative error of :func:`exp` for |t| <= 16, by enumeration."""
    x = np.arange(-(EXP_END << FRACTION), (EXP_END << FRACTION) + 1)
    mantissa, exponent = exp(x)
    return float(np.abs(np.ldexp(mantissa / (1 << POWER_BITS), exponent) / np.exp(x / (1 << FRACTION)) - 1).max())
