"""The step of a symmetric uniform quantiser that has the least mean squared error, for two distributions.

Source: J. Max, "Quantizing for minimum distortion" (1960), as Lin et al. 2016 use it. The 2^b levels are (i + 1/2) s
and their negatives, i = 0 .. 2^(b-1) - 1; the distributions have mean 0 and variance 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

Float64 = NDArray[np.float64]
#: Table 1 of Lin et al. covers so many bits; a slope of decibels is fitted to it.
FITTED_BITS = range(1, 7)


@dataclass(frozen=True)
class Distribution:
    """A symmetric distribution of variance 1, by its two tail integrals, for b >= 0.

    Attributes:
        name: of the distribution.
        mass: integral of p(x) over x > b.
        moment: integral of x p(x) over x > b.
    """

    name: str
    mass: Callable[[Float64], Float64]
    moment: Callable[[Float64], Float64]


GAUSSIAN = Distribution(
    "gaussian",
    lambda b: erfc(b / math.sqrt(2)) / 2,
    lambda b: np.exp(-b * b / 2) / math.sqrt(2 * math.pi),
)
#: p(x) = exp(-sqrt(2) |x|) / sqrt(2).
LAPLACIAN = Distribution(
    "laplacian",
    lambda b: np.exp(-math.sqrt(2) * b) / 2,
    lambda b: np.exp(-math.sqrt(2) * b) * (b + math.sqrt(0.5)) / 2,
)


@cache
def optimal_step(bits: int, distribution: Distribution = GAUSSIAN) -> float:
    """The step s that minimises the mean squared error with 2^bits levels, 1 <= bits <= 16."""
    # E(s) = 2 * sum_i integral over cell i of (x - (i + 1/2) s)^2 p(x), cell i = (i s, (i + 1) s], the last endless.
    # A boundary lies half-way between two levels, so that moving it changes nothing, and
    #   dE/ds = -4 sum_i (i + 1/2) * integral over cell i of (x - (i + 1/2) s) p(x).
    # Summed by parts with the tail integrals it is -4 (A - s B), A and B as `_sums` gives them. It is negative for a
    # small s and positive for a large one, and crosses zero once: bisection.
    low, high = 0.0, 4.0
    while (middle := (low + high) / 2) not in (low, high):
        moments, masses = _sums(middle, bits, distribution)
        if moments > middle * masses:
            low = middle
        else:
            high = middle
    return low


def optimal_sqnr(bits: int, distribution: Distribution = GAUSSIAN) -> float:
    """The ratio of the signal's power to the error's at the optimal step, in decibels."""
    # E = 1 - 2 (2 s A - s^2 B), and s B = A at the optimum.
    step = optimal_step(bits, distribution)
    moments, _ = _sums(step, bits, distribution)
    return -10 * math.log10(1 - 2 * step * moments)


@cache
def fitted_kappa(distribution: Distribution = GAUSSIAN) -> float:
    """Decibels a bit: the slope of the least-squares line through the optimal SQNR of 1 to 6 bits."""
    bits = np.array(FITTED_BITS, np.float64)
    return float(np.polyfit(bits, [optimal_sqnr(int(b), distribution) for b in bits], 1)[0])


def _sums(step: float, bits: int, distribution: Distribution) -> tuple[float, float]:
    # A = T(0) / 2 + sum_i T(i s),  B = Q(0) / 4 + sum_i 2 i Q(i s),  i = 1 .. 2^(bits-1) - 1, T moment and Q mass:
    # (i + 1/2) - (i - 1/2) = 1 and (i + 1/2)^2 - (i - 1/2)^2 = 2 i.
    number = np.arange(1 << (bits - 1), dtype=np.float64)
    moments, masses = distribution.moment(number * step), distribution.mass(number * step)
    return float(moments.sum() - moments[0] / 2), float((2 * number * masses).sum() + masses[0] / 4)
