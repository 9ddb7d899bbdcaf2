"""The layers of a program as the arrays that the exported C reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import MaxPool
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

#: Filters that stand side by side in the portable form.
TILE = 8
_WORD = 32


@dataclass(frozen=True)
class Arrays:
    """One layer, packed.

    Attributes:
        words: what a window holds: bytes of the image (first layer), else 32-bit words of each plane.
        weights: the weights in the form's own order.
        limits: uint32 (tiles, 2^k - 1, tile): the level of a filter is how many of them exceed its D; empty for the
            last layer.
        base: int32 (filters,): sum = base - D.
        flips: the flip bits in the form's own order; empty for the last layer.
    """

    words: int
    weights: NDArray[Any]
    limits: NDArray[np.uint32]
    base: NDArray[np.int32]
    flips: NDArray[Any]


def portable(program: Program) -> Iterator[Arrays]:
    """Every layer of a program for planes of bits.

    Weights of the first layer are uint32 (tiles, bytes, tile / 2): 1 in the lower half where the weight of the first
    filter of a pair is -1, in the upper half for the second one. Those of the others are uint32 (tiles, words, tile):
    sign bits in the order (row, column, channel), the lowest first, as the window's bits.
    """
    for number, layer in enumerate((*program.layers, program.output)):
        positive = window_order(layer)
        if number == 0:
            minus = tiled(~positive, TILE).astype(np.uint32).transpose(0, 2, 1)
            weights: NDArray[Any] = minus[..., ::2] | minus[..., 1::2] << 16
            words = positive.shape[1]
        else:
            words = -(-positive.shape[1] // _WORD)
            weights = tiled(to_words(positive), TILE).transpose(0, 2, 1)
        flips = to_words(layer.flips[None])[0] if isinstance(layer, QuantizedLayer) else np.zeros(0, np.uint32)
        yield Arrays(words, weights, limits(layer, number == 0, TILE), base(layer, number == 0), flips)


def window_order(layer: QuantizedLayer | OutputLayer) -> NDArray[np.bool_]:
    """The sign bits (filters, row * column * channel)."""
    bits = layer.sign_bits.transpose(0, 2, 3, 1)
    return bits.reshape(len(bits), -1)


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


def limits(layer: QuantizedLayer | OutputLayer, image: bool, tile: int) -> NDArray[np.uint32]:
    """sum > threshold  <=>  D < base - threshold; cut to what D, 0 or more, can be compared with."""
    if not isinstance(layer, QuantizedLayer):
        return np.zeros((0, 0, tile), np.uint32)
    greatest = layer.limit * (2 if image else 1)
    cut = np.clip(base(layer, image)[:, None].astype(np.int64) - layer.thresholds, 0, greatest + 1)
    return tiled(cut.astype(np.uint32), tile).transpose(0, 2, 1)


def pool_numbers(layer: QuantizedLayer | OutputLayer) -> tuple[int, int, int]:
    """Size, stride and padding of its pool, zeros where there is none."""
    pool: MaxPool | None = layer.pool if isinstance(layer, QuantizedLayer) else None
    return (0, 0, 0) if pool is None else (pool.size, pool.stride, pool.padding)
