"""The layers of a program as the arrays that the exported C reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

#: Filters of the image's layer that stand side by side, and the bits of a word of weights.
TILE = 8
_WORD = 32
#: Channels of a group, whose weights are one index of a table.
GROUP = 4
#: D and limits below this are compared in 16-bit fields, whose highest bit must be free.
NARROW = 1 << 15


@dataclass(frozen=True)
class Arrays:
    """One layer, packed.

    Attributes:
        words: bytes of the image in a window (first layer), else 32-bit words of a filter's weights.
        weights: uint32; see :func:`packed`.
        limits: (filters, 2^k - 1): the level of a filter is how many of them exceed its D; uint16 where they and D
            are below 2^15, else uint32; empty for the last layer.
        base: int32 (filters,): sum = base - D.
        flips: uint32, a bit a filter, the lowest first; empty for the last layer.
    """

    words: int
    weights: NDArray[np.uint32]
    limits: NDArray[Any]
    base: NDArray[np.int32]
    flips: NDArray[np.uint32]


def packed(program: Program) -> Iterator[Arrays]:
    """Every layer of a program.

    Weights of the first layer are (tiles, bytes, TILE / 2): 1 in the lower half where the weight of the first filter of
    a pair is -1, in the upper half for the second one. Those of the others are (filters, words): sign bits in the order
    (row, column, channel), the channels filled up to whole groups, the lowest bit first.
    """
    for number, layer in enumerate((*program.layers, program.output)):
        bits = layer.sign_bits.transpose(0, 2, 3, 1)
        if number == 0:
            minus = tiled(~bits.reshape(len(bits), -1), TILE).astype(np.uint32).transpose(0, 2, 1)
            weights = minus[..., ::2] | minus[..., 1::2] << 16
            words = minus.shape[1]
        else:
            grouped = np.pad(bits, [(0, 0)] * 3 + [(0, -bits.shape[3] % GROUP)])
            weights = to_words(grouped.reshape(len(bits), -1))
            words = weights.shape[1]
        flips = to_words(layer.flips[None])[0] if isinstance(layer, QuantizedLayer) else np.zeros(0, np.uint32)
        yield Arrays(words, weights, limits(layer, number == 0), base(layer, number == 0), flips)


def greatest(layer: QuantizedLayer | OutputLayer, image: bool) -> int:
    """The greatest D that a filter can have."""
    return layer.limit * (2 if image else 1)


def tiled(rows: NDArray[Any], tile: int) -> NDArray[Any]:
    """(filters, ...) -> (tiles, tile, ...), filled up with zeros."""
    padding = [(0, -len(rows) % tile)] + [(0, 0)] * (rows.ndim - 1)
    return np.pad(rows, padding).reshape(-1, tile, *rows.shape[1:])


def to_words(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """(rows, bits) -> uint32 (rows, words), the lowest bit first, filled up with zeros."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % _WORD)))
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def base(layer: QuantizedLayer | OutputLayer, image: bool) -> NDArray[np.int32]:
    """What a sum is, plus its D: (2^k - 1) times the weights that are +1, or the greatest sum for the image."""
    if image:
        return np.full(layer.convolution.filters, layer.limit, np.int32)
    top = (1 << layer.input_bits) - 1
    return (top * layer.sign_bits.sum(axis=(1, 2, 3))).astype(np.int32)


def limits(layer: QuantizedLayer | OutputLayer, image: bool) -> NDArray[Any]:
    """sum > threshold  <=>  D < base - threshold; cut to what D, 0 or more, can be compared with."""
    if not isinstance(layer, QuantizedLayer):
        return np.zeros((0, 0), np.uint32)
    most = greatest(layer, image) + 1
    cut = np.clip(base(layer, image)[:, None].astype(np.int64) - layer.thresholds, 0, most)
    return cut.astype(np.uint16 if most < NARROW else np.uint32)


def pool_numbers(layer: QuantizedLayer | OutputLayer) -> tuple[int, int, int]:
    """Size, stride and padding of its pool; a window of one cell where there is none, zeros for the last layer."""
    if not isinstance(layer, QuantizedLayer):
        return 0, 0, 0
    return (1, 1, 0) if layer.pool is None else (layer.pool.size, layer.pool.stride, layer.pool.padding)
