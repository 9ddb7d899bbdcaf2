"""What a network of some bits costs: memory and multiplications. Source: Goyal et al. 2021."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.fixed_point.chain import Part
from tinier_yolo.ifq.fixed_point.layer import IMAGE_FORMAT
from tinier_yolo.quantization.post_training.formats import Bits, uniform_bits


@dataclass(frozen=True)
class Costs:
    """The costs of a network.

    Attributes:
        weights: bits of all weights.
        biases: bits of all biases.
        maps: bits of the two maps that are largest together, a layer's input and its output: they live at once.
        multiplications: sum over all layers of MACs * bits of a weight * bits of an input value.
    """

    weights: int
    biases: int
    maps: int
    multiplications: int

    @property
    def memory(self) -> int:
        """All bits that are kept at once."""
        return self.weights + self.biases + self.maps

    def relative(self, other: Costs) -> tuple[float, float]:
        """Memory and multiplications as parts of another network's."""
        return self.memory / other.memory, self.multiplications / other.multiplications


@dataclass(frozen=True)
class LayerSize:
    """What a layer's costs depend on: numbers of weights, biases, values of the input and the output map, MACs."""

    weights: int
    biases: int
    read: int
    made: int
    macs: int


def layer_sizes(parts: Sequence[Part], image: Shape) -> tuple[LayerSize, ...]:
    """The sizes of all layers for an image of this shape."""
    sizes, read = [], image
    for part in parts:
        convolution, pool = part.convolution, part.pool
        convolved = convolution.output_for(read)
        made = convolved if pool is None else pool.output_for(convolved)
        weights = math.prod(convolution.weight_shape)
        sizes.append(LayerSize(weights, convolution.filters, read.size, made.size, convolution.macs_for(read)))
        read = made
    return tuple(sizes)


def costs(sizes: Sequence[LayerSize], bits: Bits) -> Costs:
    """The costs of a network whose layers have these sizes and bits."""
    reads = (IMAGE_FORMAT.bits, *(own.maps for own in bits[:-1]))
    rows = list(zip(sizes, bits, reads, strict=True))
    return Costs(
        sum(size.weights * own.weights for size, own, _ in rows),
        sum(size.biases * own.biases for size, own, _ in rows),
        max(size.read * read + size.made * own.maps for size, own, read in rows),
        sum(size.macs * own.weights * read for size, own, read in rows),
    )


def float_costs(sizes: Sequence[LayerSize]) -> Costs:
    """Those of float32, the image too; a multiplication counts 32 * 32."""
    numbers = sum(size.weights for size in sizes), sum(size.biases for size in sizes)
    maps = max(size.read + size.made for size in sizes)
    return Costs(32 * numbers[0], 32 * numbers[1], 32 * maps, 1024 * sum(size.macs for size in sizes))


def all_8_bit(sizes: Sequence[LayerSize]) -> Costs:
    """Those of the usual choice: 8 bits for every tensor, 64 a multiplication."""
    return costs(sizes, uniform_bits(len(sizes), 8))
