"""LightEngine: a program on NumPy's matrix product, for the first pictures of a process.

The kernels take a second to load and ten and more to compile; this engine is there at once, and takes some twenty
times as long for a picture. Its numbers are float32 and whole: no sum is beyond 2^24, up to which float32 holds every
integer, so that its maps are those of ``ifq.reference`` bit for bit, in whatever order the matrix product adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from tinier_yolo.darknet.layers import MaxPool
from tinier_yolo.ifq.limits import Work
from tinier_yolo.ifq.program import BinaryConvolution, Program, QuantizedLayer

Bytes = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

#: Up to here float32 holds every integer.
_EXACT = 1 << 24
#: Bytes of the maps of a layer. Beyond it the kernels come first, which hold levels of a few bits.
_MOST_BYTES = 1 << 30
#: Bytes of the columns that are multiplied at a time: a cache's worth, whatever the size of the image.
_BAND = 1 << 20


def runs(program: Program) -> bool:
    """Whether the engine's arithmetic is exact for this program."""
    return all(layer.limit + 1 < _EXACT for layer in (*program.layers, program.output))


def fits(works: Sequence[Work]) -> bool:
    """Whether the maps are small enough: there are up to three of 4 bytes a value, beside the two of what is read."""
    return all(12 * work.convolved.size + 8 * work.read.size <= _MOST_BYTES for work in works)


class LightEngine:
    """Runs a program on images of any size that its network can take.

    Args:
        program: a program that :func:`runs` here.
    """

    def __init__(self, program: Program) -> None:
        self._layers = tuple(_Convolution.of(layer) for layer in program.layers)
        self._output = _Convolution.of(program.output)
        self._program = program
        self._blas = ThreadpoolController()

    def run(self, image: Bytes) -> Int32:
        """As ``Engine.run`` of an image that has been checked."""
        # A second thread of the matrix product gains little at this size, and waits in a loop for a core that another
        # program has: where kernels are compiled meanwhile, a picture took ten times as long.
        with self._blas.limit(limits=1, user_api="blas"):
            return self._run(image)

    def _run(self, image: Bytes) -> Int32:
        levels = image.transpose(2, 0, 1).astype(np.float32)
        for layer, convolution in zip(self._program.layers, self._layers, strict=True):
            sums = convolution.sums(levels)
            if layer.pool is not None:
                sums = _max_pool(sums, layer.pool)
            levels = _quantize(sums, layer)
        last = self._program.output
        accumulators = self._output.sums(levels).astype(np.int32)
        output: Int32 = last.multipliers[:, None, None] * accumulators + last.biases[:, None, None]
        return output


@dataclass(frozen=True, eq=False)
class _Convolution:
    # Weights +1 and -1 as a matrix (filters, channels * size * size), and the geometry.
    weights: Float32
    size: int
    stride: int
    padding: int

    @classmethod
    def of(cls, layer: BinaryConvolution) -> _Convolution:
        geometry, filters = layer.convolution, layer.convolution.filters
        weights = layer.signs.reshape(filters, -1).astype(np.float32)
        return cls(weights, geometry.size, geometry.stride, geometry.padding)

    def sums(self, levels: Float32) -> Float32:
        """The accumulators, (filters, height, width): some rows of windows at a time."""
        edge = (self.padding, self.padding)
        padded = np.pad(levels, ((0, 0), edge, edge))
        views = np.lib.stride_tricks.sliding_window_view(padded, (self.size, self.size), axis=(1, 2))
        windows: Float32 = views[:, :: self.stride, :: self.stride].transpose(0, 3, 4, 1, 2)
        height, width = windows.shape[3:]
        sums = np.empty((len(self.weights), height, width), np.float32)
        rows = max(1, _BAND // (self.weights.shape[1] * width * sums.itemsize))
        for top in range(0, height, rows):
            band = windows[..., top : top + rows, :].reshape(self.weights.shape[1], -1)
            sums[:, top : top + rows] = (self.weights @ band).reshape(len(sums), -1, width)
        return sums


def _max_pool(sums: Float32, pool: MaxPool) -> Float32:
    before = pool.padding // 2
    edge = (before, pool.padding - before)
    if pool.padding:
        sums = np.pad(sums, ((0, 0), edge, edge), constant_values=-np.inf)
    columns = _best(pool, lambda start, stop: sums[:, :, start : stop : pool.stride], sums.shape[2])
    return _best(pool, lambda start, stop: columns[:, start : stop : pool.stride], columns.shape[1])


def _best(pool: MaxPool, seen: Callable[[int, int], Float32], length: int) -> Float32:
    """The maximum along one axis of this length, of which ``seen`` gives a slice with the pool's stride."""
    reach = length - pool.size
    return reduce(np.maximum, [seen(at, at + reach + 1) for at in range(pool.size)])


def _quantize(sums: Float32, layer: QuantizedLayer) -> Float32:
    """How many of its filter's thresholds a sum exceeds, or does not where the flip is set."""
    # Counted downwards from n where the flip is set: level = flip * n + (1 - 2 * flip) * count.
    thresholds: NDArray[Any] = layer.thresholds.astype(np.float32)[..., None, None]
    counts = (sums > thresholds[:, 0]).astype(np.float32)
    for number in range(1, thresholds.shape[1]):
        counts += sums > thresholds[:, number]
    counts[layer.flips] = thresholds.shape[1] - counts[layer.flips]
    return counts
