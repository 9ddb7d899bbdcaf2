"""The executable specification of an integer program, in NumPy: slow, obvious, integers only.

Sources: IFQ-Net, Eq. 4 (max pool before the thresholds), 5 (the last convolution) and 7 (the thresholds). The kernels
give the same integers on every map; float64 evaluation of the network gives the same levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import MaxPool
from tinier_yolo.ifq.program import Program, QuantizedLayer

Levels = NDArray[np.uint8]
Int32 = NDArray[np.int32]


def run_maps(program: Program, image: Levels) -> tuple[list[Levels], Int32]:
    """Run a program.

    Args:
        program: the program.
        image: uint8 (height, width, channels), RGB, any size that the network can take.

    Returns:
        The map of each quantised layer, uint8 levels (channels, height, width), and the output map, int32 in units of
        2^-``program.fraction_bits``.
    """
    maps: list[Levels] = []
    levels = image.transpose(2, 0, 1)
    for layer in program.layers:
        levels = run_quantized(layer, levels)
        maps.append(levels)
    last = program.output
    sums = convolve(levels, last.signs, last.convolution.stride, last.convolution.padding)
    return maps, last.multipliers[:, None, None] * sums + last.biases[:, None, None]


def run_quantized(layer: QuantizedLayer, levels: Levels) -> Levels:
    """One quantised layer: levels (filters, ...) from levels (channels, height, width), both uint8."""
    sums = convolve(levels, layer.signs, layer.convolution.stride, layer.convolution.padding)
    if layer.pool is not None:
        sums = max_pool(sums, layer.pool)
    return quantize(sums, layer.thresholds, layer.flips)


def convolve(levels: NDArray[np.integer], signs: NDArray[np.integer], stride: int, padding: int) -> Int32:
    """The sums of sign * level over each window, int32 (filters, height, width); padding is level 0."""
    padded = np.pad(levels.astype(np.int32), ((0, 0), (padding, padding), (padding, padding)))
    size = signs.shape[2]
    height, width = (((side - size) // stride + 1) for side in padded.shape[1:])
    sums = np.zeros((len(signs), height, width), np.int32)
    for row, column in np.ndindex(size, size):
        seen = padded[:, row:, column:][:, : height * stride : stride, : width * stride : stride]
        sums += np.tensordot(signs[:, :, row, column].astype(np.int32), seen, axes=1)
    return sums


def max_pool(sums: Int32, pool: MaxPool) -> Int32:
    """The maximum over each window; the odd cell of padding is at the right and the bottom, and none ever wins."""
    before = pool.padding // 2
    after = pool.padding - before
    edges = ((0, 0), (before, after), (before, after))
    padded = np.pad(sums, edges, constant_values=np.iinfo(np.int32).min)
    height, width = (((side - pool.size) // pool.stride + 1) for side in padded.shape[1:])
    best = np.full((len(sums), height, width), np.iinfo(np.int32).min, np.int32)
    for row, column in np.ndindex(pool.size, pool.size):
        seen = padded[:, row:, column:][:, : height * pool.stride : pool.stride, : width * pool.stride : pool.stride]
        np.maximum(best, seen, out=best)
    return best


def quantize(sums: Int32, thresholds: Int32, flips: NDArray[np.bool_]) -> Levels:
    """The levels: how many of its filter's thresholds a sum exceeds, strictly; the complement where the flip is set."""
    counts = (sums[:, None] > thresholds[:, :, None, None]).sum(axis=1)
    levels: Levels = np.where(flips[:, None, None], thresholds.shape[1] - counts, counts).astype(np.uint8)
    return levels
