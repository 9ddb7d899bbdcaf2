"""The layers of a program as the arrays that the exported C reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import BinaryConvolution, OutputLayer, Program, QuantizedLayer

#: Bits of a word of weights.
_WORD = 32
#: Channels of a group, whose weights are one index of a table of 16 words.
GROUP = 4
#: Filters from which on a table of 256 words for eight channels pays: it has to be made, too.
MANY = 96
#: D and limits below this are compared in 16-bit fields, whose highest bit must be free.
NARROW = 1 << 15


@dataclass(frozen=True)
class Arrays:
    """One layer, packed.

    Attributes:
        weights: uint32 (filters, words): sign bits in the order (row, column, channel), the channels filled up to
            whole groups, the lowest bit first.
        limits: (filters, 2^k - 1): the level of a filter is how many of them exceed its D; uint16 where they and D
            are below 2^15, else uint32; empty for the last layer.
        base: int32 (filters,): sum = base - D.
        flips: uint8, for each line of its map what the bytes are xored with; empty for the last layer.
    """

    weights: NDArray[np.uint32]
    limits: NDArray[Any]
    base: NDArray[np.int32]
    flips: NDArray[np.uint8]


def packed(program: Program) -> Iterator[Arrays]:
    """Every layer of a program."""
    layers: tuple[QuantizedLayer | OutputLayer, ...] = (*program.layers, program.output)
    for layer in layers:
        bits = layer.sign_bits.transpose(0, 2, 3, 1)
        grouped = np.pad(bits, [(0, 0)] * 3 + [(0, -bits.shape[3] % GROUP)])
        yield Arrays(to_words(grouped.reshape(len(bits), -1)), limits(layer), base(layer), flips(layer))


def to_words(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """(rows, bits) -> uint32 (rows, words), the lowest bit first, filled up with zeros."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % _WORD)))
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def in_pairs(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """(filters, words) -> (filters * words,): two words of every filter, then the next two: portable.c's order."""
    return np.concatenate([words[:, at : at + 2].ravel() for at in range(0, words.shape[1], 2)])


def base(layer: QuantizedLayer | OutputLayer) -> NDArray[np.int32]:
    """What a sum and its D are together: (2^k - 1) times the weights that are +1."""
    top = (1 << layer.input_bits) - 1
    ones: NDArray[np.int64] = layer.sign_bits.sum(axis=(1, 2, 3))
    return np.asarray(top * ones, np.int32)


def limits(layer: QuantizedLayer | OutputLayer) -> NDArray[Any]:
    """Sum > threshold  <=>  D < base - threshold; cut to what D, 0 or more, can be compared with."""
    if not isinstance(layer, QuantizedLayer):
        return np.zeros((0, 0), np.uint32)
    most = layer.limit + 1  # D is at most the greatest sum
    cut = np.clip(base(layer)[:, None].astype(np.int64) - layer.thresholds, 0, most)
    return np.asarray(cut, np.uint16 if most < NARROW else np.uint32)


def flips(layer: QuantizedLayer | OutputLayer) -> NDArray[np.uint8]:
    """A line of a map holds four channels in two bits each, or two in four bits each; a flip turns all bits."""
    if not isinstance(layer, QuantizedLayer):
        return np.zeros(0, np.uint8)
    channels, bits = (2, 4) if layer.bits > 2 else (4, 2)
    padded = np.pad(layer.flips, (0, -len(layer.flips) % 4)).reshape(-1, channels).astype(np.uint8)
    masks = ((1 << layer.bits) - 1) << bits * np.arange(channels, dtype=np.uint8)
    return np.asarray((padded * masks).sum(axis=1), np.uint8)


def group(layer: BinaryConvolution) -> int:
    """Channels that a table is for: 4, or 8."""
    whole = layer.convolution.input.channels % 8 == 0
    return 8 if whole and layer.input_bits <= 2 and layer.convolution.filters >= MANY else GROUP


def table_words(program: Program) -> int:
    """Words of the tables that are there at once, as portable.c has them: 16 of 16, 8 of 256, or a row's."""
    layers = (*program.layers, program.output)
    convolution = layers[0].convolution
    channels = convolution.input.channels
    row = (convolution.size + convolution.stride) * -(-channels // GROUP) * (16 if channels > 3 else 8)
    return max(8 * 256 if any(group(layer) == 8 for layer in layers) else 16 * 16, row)


def pool_numbers(layer: QuantizedLayer | OutputLayer) -> tuple[int, int, int]:
    """Size, stride and padding of its pool; a window of one cell where there is none, zeros for the last layer."""
    if not isinstance(layer, QuantizedLayer):
        return 0, 0, 0
    return (1, 1, 0) if layer.pool is None else (layer.pool.size, layer.pool.stride, layer.pool.padding)
