"""Integrated conversion: a quantised substructure becomes integer thresholds, without loss. Source: IFQ-Net, 3.2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.quantization.float64 import Float64, RealSubstructure
from tinier_yolo.quantization.hwgq import Quantizer


def integer_thresholds(
    real: RealSubstructure, quantizer: Quantizer, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The integer thresholds that give the same levels as the real substructure for every accumulator.

    With count = number of thresholds T with a > T, the level is ``count``, or ``highest - count`` where the filter's
    flip is set.

    Args:
        real: the substructure's numbers.
        quantizer: its quantiser.
        limit: the greatest absolute value of an accumulator.

    Returns:
        Thresholds, int64 (filters, 2^k - 1), ascending, within [-limit - 1, limit + 1]; flips, bool (filters,).
    """
    # y = c * a + e exceeds thr  <=>  c * a > thr - e. The accumulator a is an integer, so with r = (thr - e) / c
    #   c > 0:  a > r  <=>  a > floor(r)                            T = floor(r)
    #   c < 0:  a < r  <=>  a < ceil(r)  <=>  not (a > ceil(r) - 1)   T = ceil(r) - 1, flipped
    #   c = 0:  the level is that of e, whatever a is: T below or above every a.
    # A negative c reverses the order of the thresholds. The flip reverses the comparison and leaves the accumulator
    # alone: folding the sign into the weights would turn a max pool in between into a min pool.
    slope, offset = real.slope[:, None], real.offset[:, None]
    flips = real.slope < 0
    constant = slope == 0
    boundaries = np.where(flips[:, None], quantizer.thresholds[::-1], quantizer.thresholds)
    with np.errstate(over="ignore"):
        ratio = (boundaries - offset) / np.where(constant, 1.0, slope)
    exceeded = np.where(offset > boundaries, -limit - 1, limit + 1)
    floored = np.where(flips[:, None], np.ceil(ratio) - 1, np.floor(ratio))
    thresholds = np.where(constant, exceeded, np.clip(floored, -limit - 1, limit + 1)).astype(np.int64)
    return _settle(thresholds, real, boundaries, flips, limit), flips


def _settle(
    thresholds: NDArray[np.int64], real: RealSubstructure, boundaries: Float64, flips: NDArray[np.bool_], limit: int
) -> NDArray[np.int64]:
    # r is rounded, and so is y: where a*c + e falls on a boundary to the last bit the two may disagree by one. y is
    # what counts; it is monotone in a, so stepping towards it ends.
    def counted(accumulators: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray((real.values(accumulators.astype(np.float64)) > boundaries) != flips[:, None])

    while True:
        too_low = (thresholds < limit) & ~counted(thresholds + 1)
        too_high = (thresholds >= -limit) & (thresholds <= limit) & counted(thresholds)
        if not (too_low | too_high).any():
            return thresholds
        thresholds = thresholds + too_low - too_high
