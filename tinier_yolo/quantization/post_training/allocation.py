"""How many bits each layer gets, by Lagrange. Source: Lin et al. 2016.

Minimise sum rho_i b_i subject to sum 10^(-kappa b_i / 10) <= 1 / gamma_min: at the optimum rho_i 10^(kappa b_i / 10) is
the same for all i, hence b_i - b_j = (10 / kappa) log10(rho_j / rho_i).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS


def bit_differences(costs: Sequence[float], kappa: float) -> tuple[float, ...]:
    """How many bits each layer gets more than the one that gets most: 0 and negative numbers, not rounded.

    Args:
        costs: rho, what a bit of each layer costs: its weights for the size of the model, its multiply-accumulates for
            the work.
        kappa: decibels a bit, positive.
    """
    least = min(costs)
    return tuple(10 / kappa * math.log10(least / cost) for cost in costs)


def allocate(costs: Sequence[float], kappa: float, most: float) -> tuple[int, ...]:
    """Whole bits for each layer, 2..16, where the layer that costs least gets ``most``."""
    wanted = (round(most + difference) for difference in bit_differences(costs, kappa))
    return tuple(min(max(bits, MIN_BITS), MAX_BITS) for bits in wanted)


def allocations(costs: Sequence[float], kappa: float) -> list[tuple[int, ...]]:
    """All allocations that differ, from the fewest bits to the most; the common offset moves by quarters of a bit."""
    spread = -min(bit_differences(costs, kappa))
    found: list[tuple[int, ...]] = []
    for most in np.arange(MIN_BITS, MAX_BITS + spread + 0.25, 0.25):
        bits = allocate(costs, kappa, float(most))
        if not found or bits != found[-1]:
            found.append(bits)
    return found


def measured_kappa(sqnr: dict[int, float]) -> float:
    """Decibels a bit: the slope of the least-squares line through the SQNR at the output for some uniform bits.

    Raises:
        ValueError: fewer than two points, or a slope that is not positive.
    """
    if len(sqnr) < 2:
        raise ValueError("a slope needs the SQNR of two bit widths or more")
    kappa = float(np.polyfit(list(sqnr), list(sqnr.values()), 1)[0])
    if not 0 < kappa < math.inf:
        raise ValueError(f"the SQNR at the output does not grow with the bits: {kappa:.2f} dB a bit")
    return kappa
