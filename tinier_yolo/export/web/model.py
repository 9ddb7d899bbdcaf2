"""A program as the words that the page's module reads.

    head    magic, layers, channels, letter_box
    layer   channels, filters, size, stride, padding, the pool's three, bits of a level read and made (0: the last
            layer), narrow
            weights      (filters, words): bits in the order (row, column, channel), channels filled up to fours
            limits       (filters, 2^k - 1), two a word where narrow; sum > threshold means D < limit (see kernel.c)
            flips        a bit a filter
            base, multipliers, biases   of the last layer, instead of limits and flips

All are 32 bits wide, the lowest byte first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import ProgramError
from tinier_yolo.export.c99.layers import NARROW, Arrays, packed, pool_numbers, to_words
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

MAGIC = int.from_bytes(b"TYW1", "little")
#: As network.h has them.
MAX_LAYERS, MAX_SIZE = 64, 16

Words = NDArray[np.uint32]


def program_words(program: Program) -> Words:
    """The words of a program.

    Args:
        program: the program.

    Returns:
        uint32 (n,).

    Raises:
        ProgramError: more layers or larger windows than the module takes.
    """
    layers: tuple[QuantizedLayer | OutputLayer, ...] = (*program.layers, program.output)
    largest = max(layer.convolution.size for layer in layers)
    if len(layers) > MAX_LAYERS or largest > MAX_SIZE:
        expected = f"at most {MAX_LAYERS} layers and windows of {MAX_SIZE}"
        raise ProgramError("too large a network for the page", path=program.network.path, expected=expected)
    head = (MAGIC, len(layers), program.network.input.channels, int(program.network.options.letter_box))
    parts = [np.array(head, np.uint32)]
    for layer, arrays in zip(layers, packed(program), strict=True):
        parts += _layer(layer, arrays)
    return np.concatenate(parts)


def _layer(layer: QuantizedLayer | OutputLayer, arrays: Arrays) -> list[Words]:
    convolution = layer.convolution
    # The sums of the last layer have no limits to be compared with, but they too must fit 16 bits.
    narrow = layer.limit + 1 < NARROW
    bits = layer.bits if isinstance(layer, QuantizedLayer) else 0
    geometry = (convolution.input.channels, convolution.filters, convolution.size, convolution.stride)
    numbers = (*geometry, convolution.padding, *pool_numbers(layer), layer.input_bits, bits, int(narrow))
    parts = [np.array(numbers, np.uint32), arrays.weights.ravel()]
    if isinstance(layer, OutputLayer):
        return parts + [_words(array.astype("<i4")) for array in (arrays.base, layer.multipliers, layer.biases)]
    return [*parts, _words(arrays.limits), to_words(layer.flips[None])[0]]


def _words(array: NDArray[np.generic]) -> Words:
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32)
