"""Fixed-point numbers: integers in units of 2^-m. Source: IFQ-Net, section 2.2 (Q_m = 2^m, rounding by floor)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class FixedPoint:
    """A number format: signed integers of ``bits`` bits that count units of 2^-``fraction_bits``.

    Attributes:
        fraction_bits: m; the scale factor of Eq. 5 is Q_m = 2^m.
        bits: the width of the integer, sign included; at most 53, so that float64 holds every value.
    """

    fraction_bits: int
    bits: int = 32

    @property
    def lowest(self) -> int:
        """The least integer of the format."""
        return -(1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        """The greatest integer of the format."""
        return (1 << (self.bits - 1)) - 1

    def fits(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Which real values the format holds without saturation."""
        scaled = self._scaled(values)
        return np.asarray((scaled >= self.lowest) & (scaled <= self.highest))

    def encode(self, values: ArrayLike) -> NDArray[np.int64]:
        """floor(x * 2^m) of real values, saturated at the ends of the format; int64 of the same shape."""
        return np.clip(self._scaled(values), self.lowest, self.highest).astype(np.int64)

    def decode(self, integers: ArrayLike) -> NDArray[np.float64]:
        """The real values that integers stand for: n * 2^-m."""
        return np.ldexp(np.asarray(integers, np.float64), -self.fraction_bits)

    def _scaled(self, values: ArrayLike) -> NDArray[np.float64]:
        # A power of two only moves the exponent: ldexp is exact, so floor is the one rounding.
        return np.floor(np.ldexp(np.asarray(values, np.float64), self.fraction_bits))
