"""The two quantisers of an IFQ network: half-wave Gaussian for maps, binary for weights. The rules stand here once.

Source: HWGQ-Net (Cai et al., CVPR 2017) as IFQ-Net uses it (section 2.1, Eq. 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinier_yolo.darknet.layers import HALF_WAVE, QUANTIZERS, UNIFORM


@dataclass(frozen=True)
class Quantizer:
    """A half-wave Gaussian quantiser: x -> level 0..2^bits - 1, which stands for the value level * step.

    Attributes:
        bits: k, the bits of a level.
        kind: one of :data:`tinier_yolo.darknet.layers.QUANTIZERS`.
        step: Delta, the distance of two levels; the mean-squared-error optimum for a half-normal input.
        thresholds: the 2^bits - 1 boundaries, ascending; **level = number of thresholds that x exceeds, strictly**.
    """

    bits: int
    kind: str
    step: float
    thresholds: tuple[float, ...]

    @property
    def levels(self) -> int:
        """The number of levels, zero included: 2^bits."""
        return 1 << self.bits

    @property
    def highest(self) -> int:
        """The highest level, 2^bits - 1."""
        return self.levels - 1

    def quantize(self, values: ArrayLike) -> NDArray[np.uint8]:
        """The levels, uint8, of float64 values of any shape."""
        # side="left" counts the thresholds below a value and not those equal to it: the strict comparison.
        return np.searchsorted(self.thresholds, np.asarray(values, np.float64), side="left").astype(np.uint8)


@cache
def quantizer_for(bits: int, kind: str = UNIFORM) -> Quantizer:
    """The quantiser of a cfg's ``activation=hwgq`` with these ``bits`` and this ``quantizer``.

    Raises:
        ValueError: bits outside 1..8, or an unknown kind.
    """
    if not 1 <= bits <= 8 or kind not in QUANTIZERS:
        raise ValueError(f"no half-wave Gaussian quantiser of {bits} bits and kind {kind!r}")
    step = _optimal_step(bits, kind)
    return Quantizer(bits, kind, step, tuple(_boundaries(step, bits, kind)))


def _boundaries(step: float, bits: int, kind: str) -> list[float]:
    boundaries = [(level - 0.5) * step for level in range(1, 1 << bits)]
    if kind == HALF_WAVE:
        boundaries[0] = 0.0
    return boundaries


def _optimal_step(bits: int, kind: str) -> float:
    # Minimise  E(D) = sum_i  integral over cell i of (x - i D)^2 phi(x) dx,  cell i = (b_i, b_{i+1}], b_0 = 0, phi the
    # normal density. A boundary half-way between two levels, or fixed at 0, adds nothing to dE/dD, so
    #   dE/dD = -2 sum_i i * integral over cell i of (x - i D) phi(x) dx
    # and with  integral x phi = phi(b_i) - phi(b_{i+1})  and  Q(b) the mass above b, summing by parts:
    #   dE/dD = 0  <=>  sum_i phi(b_i) = D * sum_i (2 i - 1) Q(b_i),   i = 1..2^bits - 1.
    # The difference of the two sides is positive for small D and negative at 4; it crosses zero once: bisection.
    low, high = 1e-6, 4.0
    while (middle := (low + high) / 2) not in (low, high):
        if _slope(_boundaries(middle, bits, kind), middle) > 0:
            low = middle
        else:
            high = middle
    return low


def _slope(boundaries: Sequence[float], step: float) -> float:
    density = sum(math.exp(-b * b / 2) for b in boundaries) / math.sqrt(2 * math.pi)
    mass = sum((2 * i - 1) * 0.5 * math.erfc(b / math.sqrt(2)) for i, b in enumerate(boundaries, start=1))
    return density - step * mass


def binarize(weights: ArrayLike) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Binary weights: w = alpha_f * s with s = +1 where w >= 0, else -1, and alpha_f the mean of |w| over filter f.

    Args:
        weights: latent weights (filters, ...), any float type.

    Returns:
        The signs, int8 of the same shape, and alpha, float64 (filters,).
    """
    latent = np.asarray(weights, np.float64)
    signs = np.where(latent >= 0, 1, -1).astype(np.int8)
    return signs, np.abs(latent).reshape(len(latent), -1).mean(axis=1)
