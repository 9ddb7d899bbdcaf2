"""The tensors of an .ifq file: their names, types and shapes, and the order of their bits.

``N`` being the number of the substructure from 0:

    N.weights      uint8    sign bits (1 for +1) in (filter, channel, row, column) order, lowest bit first
    N.thresholds   int16/32 (filters, 2^k - 1), ascending: level = how many of them the accumulator exceeds
    N.multipliers, N.biases  int32 (filters,), of the last one: output = multiplier * accumulator + bias
    flips          uint8    one bit a filter of all layers, lowest first; where set, level = 2^k - 1 - how many
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Convolutional
from tinier_yolo.ifq.limits import MAX_ACCUMULATOR
from tinier_yolo.ifq.substructures import Substructure, refusal

#: The bits of a level of the image, which is the first map.
IMAGE_BITS = 8


class TensorType(NamedTuple):
    """The type and the shape of a tensor."""

    kind: type[np.generic]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * np.dtype(self.kind).itemsize

    def __str__(self) -> str:
        return f"{np.dtype(self.kind)} {self.shape}"


def substructure_tensors(substructure: Substructure, input_bits: int) -> dict[str, TensorType]:
    """The tensors of one substructure, by their names without the number; the flips of all are one tensor more.

    Args:
        substructure: one of ``integer_chain``.
        input_bits: the bits of a level of its input map.

    Raises:
        ConversionError: its accumulators can leave the range of a program.
    """
    convolution, quantizer = substructure.convolution, substructure.quantizer
    filters = convolution.filters
    limit = accumulator_limit(convolution, input_bits)
    tensors = {"weights": bit_tensor(math.prod(convolution.weight_shape))}
    if quantizer is None:
        return tensors | dict.fromkeys(("multipliers", "biases"), TensorType(np.int32, (filters,)))
    # The narrowest type that holds every threshold: they lie within [-limit - 1, limit + 1].
    narrow = limit + 1 <= np.iinfo(np.int16).max
    return tensors | {"thresholds": TensorType(np.int16 if narrow else np.int32, (filters, (1 << quantizer.bits) - 1))}


def input_bits(chain: Sequence[Substructure]) -> list[int]:
    """For each substructure of ``integer_chain`` the bits of a level of its input map."""
    made = [substructure.quantizer.bits for substructure in chain if substructure.quantizer is not None]
    return [IMAGE_BITS, *made]


def accumulator_limit(convolution: Convolutional, input_bits: int) -> int:
    """The greatest absolute value of a sum of +-levels: the highest level times the weights of a filter.

    Raises:
        ConversionError: it is beyond MAX_ACCUMULATOR.
    """
    limit = ((1 << input_bits) - 1) * math.prod(convolution.weight_shape[1:])
    if limit > MAX_ACCUMULATOR:
        raise refusal(convolution, f"an accumulator that reaches {limit}, beyond {MAX_ACCUMULATOR}")
    return limit


def bit_tensor(count: int) -> TensorType:
    """The tensor that holds so many bits."""
    return TensorType(np.uint8, (-(-count // 8),))


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """An array's bits in C order, eight to a byte, the lowest first; what is left of the last byte is zero."""
    return np.packbits(bits, bitorder="little")


def unpack_bits(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The array of this shape that :func:`pack_bits` has packed."""
    return np.unpackbits(packed, count=math.prod(shape), bitorder="little").view(np.bool_).reshape(shape)
