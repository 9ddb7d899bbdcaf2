"""A layer of a fixed-point program and its formats.

Its accumulator counts units of 2^-(f_w + f_x): the sum of weight * value, and the bias. The activation works on it,
then a shift to the right by f_w + f_x - f_y with rounding, ties away from zero, and saturation make the output's
integer. All of it is monotone, so that a max pool may stand before or behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import LEAKY_SLOPE, Convolutional, MaxPool, Shape
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

#: The image is a map of bytes: a byte stands for q * 2^-8. It means q / 255: the first layer's weights hold the rest.
IMAGE_FORMAT = NumberFormat(8, 8, signed=False)
#: Leaky ReLU multiplies by floor(0.1 * 2^15) and shifts by 15.
LEAKY_BITS = 15
LEAKY_FACTOR = int(LEAKY_SLOPE * (1 << LEAKY_BITS))
MAX_SHIFT = 30
_INT32 = (1 << 31) - 1


@dataclass(frozen=True)
class LayerFormats:
    """The formats of a layer's three tensors: weights, biases, output map."""

    weights: NumberFormat
    biases: NumberFormat
    maps: NumberFormat


@dataclass(frozen=True, eq=False)
class FixedPointLayer:
    """A convolution in integers, its activation, its max pool.

    Attributes:
        convolution: its geometry and its activation.
        pool: the max pool behind it, or None.
        read: the format of its input map.
        formats: those of its own tensors.
        weights: int16 (filters, channels, size, size).
        biases: int16 (filters,).

    Raises:
        ValueError: integers outside their formats, formats that do not go together, or sums that could leave int32.
    """

    convolution: Convolutional
    pool: MaxPool | None
    read: NumberFormat
    formats: LayerFormats
    weights: Int16
    biases: Int16

    def __post_init__(self) -> None:
        for integers, numbers in ((self.weights, self.formats.weights), (self.biases, self.formats.biases)):
            if integers.min() < numbers.lowest or integers.max() > numbers.highest:
                raise ValueError(f"integers outside their format {numbers}")
        if not (self.formats.weights.signed and self.formats.biases.signed) or self.formats.maps.highest > 32767:
            raise ValueError("unsigned weights or biases, or a map beyond int16")
        if not 0 <= self.shift <= MAX_SHIFT or not 0 <= self.bias_shift <= MAX_SHIFT:
            raise ValueError(f"shifts of {self.shift} and {self.bias_shift} bits are not within 0..{MAX_SHIFT}")
        if self.reach > _INT32:
            raise ValueError(f"an accumulator that reaches {self.reach}, beyond int32")

    @property
    def shift(self) -> int:
        """By how many bits an accumulator is shifted to the right."""
        return self.formats.weights.fraction + self.read.fraction - self.formats.maps.fraction

    @property
    def bias_shift(self) -> int:
        """By how many bits a bias is shifted to the left before it is added."""
        return self.formats.weights.fraction + self.read.fraction - self.formats.biases.fraction

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The biases in units of the accumulator, (filters,)."""
        return self.biases.astype(np.int64) << self.bias_shift

    @property
    def reach(self) -> int:
        """The greatest absolute value of an accumulator, with what is added to it for rounding."""
        return accumulator_reach(self.weights, self.read, self.offsets) + ((1 << self.shift) >> 1)

    def convolved(self, shape: Shape) -> Shape:
        """The shape of its accumulators where its input map has this shape."""
        return self.convolution.output_for(shape)

    def output(self, shape: Shape) -> Shape:
        """The shape of its output map, pooled where it has a pool, where its input map has this shape."""
        convolved = self.convolved(shape)
        return convolved if self.pool is None else self.pool.output_for(convolved)

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates for an input map of this shape."""
        return self.convolution.macs_for(shape)


def accumulator_reach(weights: NDArray[np.integer], read: NumberFormat, offsets: NDArray[np.int64]) -> int:
    """The greatest absolute value that a sum of weight * value and offset can have, over all filters.

    Args:
        weights: (filters, ...).
        read: the format of the values; a padded cell is 0, which every format has.
        offsets: (filters,), what is added.
    """
    flat = weights.astype(np.int64).reshape(len(weights), -1)
    positive, negative = np.maximum(flat, 0).sum(axis=1), np.minimum(flat, 0).sum(axis=1)
    highest = positive * read.highest + negative * read.lowest + offsets
    lowest = positive * read.lowest + negative * read.highest + offsets
    return max(int(highest.max()), -int(lowest.min()))


def activate(sums: Int32, activation: str) -> Int32:
    """The activation of accumulators, int32 of any shape.

    Leaky ReLU: sum * LEAKY_FACTOR / 2^15, rounded to the nearest, ties away from zero, where the sum is negative.
    """
    if activation == "relu":
        return np.maximum(sums, 0)
    if activation == "linear":
        return sums
    # With sum = high * 2^15 + low and 0 <= low < 2^15 nothing leaves int32: |high| < 2^16, the factor is below 2^12.
    high, low = sums >> LEAKY_BITS, sums & ((1 << LEAKY_BITS) - 1)
    # A tie of a negative number goes down, away from zero: one less than a half is added.
    scaled = high * LEAKY_FACTOR + ((low * LEAKY_FACTOR + (1 << (LEAKY_BITS - 1)) - 1) >> LEAKY_BITS)
    return np.where(sums < 0, scaled, sums)


def requantize(sums: Int32, shift: int, made: NumberFormat) -> Int16:
    """Accumulators shifted to the right, to the nearest, ties away from zero, and saturated to a format."""
    half = (1 << shift) >> 1
    shifted = (sums + half - ((sums < 0) & (shift > 0))) >> shift
    integers: Int16 = np.clip(shifted, made.lowest, made.highest).astype(np.int16)
    return integers
