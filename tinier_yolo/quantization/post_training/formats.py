"""Formats for the tensors of a network, and the integer layers that they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq.fixed_point.layer import (
    IMAGE_FORMAT,
    MAX_SHIFT,
    FixedPointLayer,
    LayerFormats,
    accumulator_reach,
)
from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MAX_FRACTION, NumberFormat
from tinier_yolo.ifq.substructures import refusal
from tinier_yolo.quantization.post_training.folding import FoldedLayer
from tinier_yolo.quantization.post_training.optimal_step import optimal_step
from tinier_yolo.quantization.post_training.rounding import Nearest, RoundedWeights, Rounding
from tinier_yolo.quantization.post_training.sqnr import format_sqnr
from tinier_yolo.quantization.post_training.statistics import MapStatistics

_INT32 = (1 << 31) - 1
#: The usual rounding of weights.
NEAREST = Nearest()


@dataclass(frozen=True)
class LayerBits:
    """The bits of a layer's three tensors, 2..16 each."""

    weights: int
    biases: int
    maps: int


#: The bits of all layers, in order.
Bits = tuple[LayerBits, ...]
#: The names of a layer's tensors.
TENSORS = ("weights", "biases", "maps")


def choose_format(
    values: ArrayLike, bits: int, signed: bool = True, lowest: int = -MAX_FRACTION, highest: int = MAX_FRACTION
) -> NumberFormat:
    """The format of so many bits for values.

    It begins at f = -ceil(log2(deviation * optimal step of a Gaussian)) (Lin et al.) and goes on to f - 1 or f + 1 as
    long as the measured SQNR of the values grows.

    Args:
        values: of any shape.
        bits: 2..16.
        signed: whether there are negative ones; 16 bits are always signed, since maps are kept as int16.
        lowest: the least binary point allowed.
        highest: the greatest.
    """
    values = np.asarray(values, np.float64)
    signed = signed or bits == MAX_BITS
    deviation = math.sqrt(float(np.square(values).mean()))
    if deviation == 0:
        return NumberFormat(bits, min(max(0, lowest), highest), signed)
    # Without a sign the same bits have twice the levels on one side.
    start = -math.ceil(math.log2(deviation * optimal_step(min(bits + (not signed), MAX_BITS))))

    def at(fraction: int) -> tuple[float, NumberFormat]:
        numbers = NumberFormat(bits, min(max(fraction, lowest), highest), signed)
        return format_sqnr(values, numbers), numbers

    best = at(start)
    for direction in (1, -1):
        while (other := at(best[1].fraction + direction))[0] > best[0]:
            best = other
    return best[1]


def build_layer(
    folded: FoldedLayer, read: NumberFormat, bits: LayerBits, sample: ArrayLike, rounding: Rounding = NEAREST
) -> FixedPointLayer:
    """A layer in integers of so many bits, whose accumulators cannot leave int32.

    Where they could, the weights get fewer bits behind the point: those in front stay empty.

    Args:
        folded: the layer in floats.
        read: the format of its input map.
        bits: those of its tensors.
        sample: values of its output map, from which its format is chosen.
        rounding: how weights become integers.

    Raises:
        ConversionError: there is no such layer.
    """
    most = min(MAX_FRACTION - read.fraction, MAX_FRACTION)
    weights = rounding.better(folded, choose_format(folded.weights, bits.weights, highest=most), most)
    while True:
        layer = _layer(folded, read, rounding(folded, weights), bits, sample)
        if isinstance(layer, FixedPointLayer):
            return layer
        if weights.fraction + read.fraction <= -MAX_FRACTION or not np.any(weights.encode(folded.weights)):
            raise refusal(folded.part.convolution, "no fixed-point formats fit its numbers")
        weights = NumberFormat(weights.bits, weights.fraction - 1)


def _layer(
    folded: FoldedLayer, read: NumberFormat, weights: RoundedWeights, bits: LayerBits, sample: ArrayLike
) -> FixedPointLayer | None:
    # None where its accumulators could leave int32.
    point = weights.numbers.fraction + read.fraction
    # More bits behind the point than the accumulator has would be zeros.
    lowest, highest = max(point - MAX_SHIFT, -MAX_FRACTION), min(point, MAX_FRACTION)
    biases = choose_format(weights.biases, bits.biases, lowest=lowest, highest=highest)
    maps = choose_format(sample, bits.maps, folded.part.signed, lowest, highest)
    integers, offsets = weights.integers, biases.encode(weights.biases)
    shifted = offsets.astype(np.int64) << (point - biases.fraction)
    rounding = (1 << (point - maps.fraction)) >> 1
    if accumulator_reach(integers, read, shifted) + rounding > _INT32:
        return None
    formats, part = LayerFormats(weights.numbers, biases, maps), folded.part
    arrays = integers, offsets.astype(np.int16)
    return FixedPointLayer(part.convolution, part.pool, read, formats, *arrays)


@dataclass
class Builder:
    """Makes the integer layers of a network for any bits, and keeps those that it has made.

    Attributes:
        layers: the float network.
        statistics: of its maps.
        roundings: of its weights, one a layer; to the nearest where there are none.
    """

    layers: Sequence[FoldedLayer]
    statistics: Sequence[MapStatistics]
    roundings: Sequence[Rounding] = ()
    _made: dict[tuple[int, NumberFormat, LayerBits], FixedPointLayer] = field(default_factory=dict)

    def build(self, bits: Bits) -> tuple[FixedPointLayer, ...]:
        """All layers; those that are the same as before are the same objects.

        Raises:
            ConversionError: the number of layers is another one, or formats do not fit.
        """
        if len(bits) != len(self.layers):
            raise ConversionError(
                "not the bits of this network", expected=f"{len(self.layers)} layers", found=len(bits)
            )
        built, read = [], IMAGE_FORMAT
        for number, own in enumerate(bits):
            key = number, read, own
            if key not in self._made:
                rounding = self.roundings[number] if self.roundings else NEAREST
                self._made[key] = build_layer(self.layers[number], read, own, self.statistics[number].sample, rounding)
            built.append(self._made[key])
            read = built[-1].formats.maps
        return tuple(built)

    def forget(self, kept: Bits) -> None:
        """Drop what was made for other bits than these."""
        layers = self.build(kept)
        self._made = {key: layer for key, layer in self._made.items() if any(layer is other for other in layers)}


def uniform_bits(layers: int, bits: int, biases: int | None = None) -> Bits:
    """The same bits for weights and maps of all layers; biases get as many too if None."""
    return (LayerBits(bits, bits if biases is None else biases, bits),) * layers
