"""NumberFormat: how many bits an integer has and where its binary point stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The bits of a tensor's numbers.
MIN_BITS, MAX_BITS = 2, 16
#: The binary point may stand outside of the number, on either side.
MAX_FRACTION = 63


@dataclass(frozen=True)
class NumberFormat:
    """Integers q of ``bits`` bits that stand for q * 2^-fraction.

    Attributes:
        bits: 2..16, the sign included.
        fraction: f, the bits behind the binary point; negative or larger than ``bits`` where all values are large or
            small.
        signed: two's complement, or nothing below zero.

    Raises:
        ValueError: a number outside these ranges.
    """

    bits: int
    fraction: int
    signed: bool = True

    def __post_init__(self) -> None:
        if not MIN_BITS <= self.bits <= MAX_BITS or abs(self.fraction) > MAX_FRACTION:
            raise ValueError(f"no number format of {self.bits} bits, {self.fraction} of them behind the point")

    @property
    def lowest(self) -> int:
        """The least integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The greatest integer."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def step(self) -> float:
        """The value of the integer 1."""
        return 2.0**-self.fraction

    def encode(self, values: ArrayLike) -> NDArray[np.int32]:
        """The integers nearest to real values of any shape, ties away from zero, saturated at the ends."""
        scaled = np.ldexp(np.asarray(values, np.float64), self.fraction)
        size = np.abs(scaled)
        whole = np.floor(size)
        # size - whole is exact; size + 0.5 would round 0.49999999999999994 up.
        rounded = np.copysign(whole + (size - whole >= 0.5), scaled)
        integers: NDArray[np.int32] = np.clip(rounded, self.lowest, self.highest).astype(np.int32)
        return integers

    def decode(self, integers: ArrayLike) -> NDArray[np.float64]:
        """The values that integers stand for; the inverse of :meth:`encode` on what it gives."""
        return np.ldexp(np.asarray(integers, np.float64), -self.fraction)

    def rounded(self, values: ArrayLike) -> NDArray[np.float64]:
        """The values of the format that are nearest to real ones."""
        return self.decode(self.encode(values))

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.fraction}"
