"""What the families' packers share: weights as bits, bounds, and windows in fours. The package defines S, n and B."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import MaxPool, Shape
from tinier_yolo.ifq.program import BinaryConvolution, QuantizedLayer
from tinier_yolo.runtime.maps import MapLayout

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]

#: Filters in a vector of 32-bit sums.
LANES = 16
#: Windows that the popcount and the lookup kernels sum at a time.
QUAD = 4


def sign_bits(layer: BinaryConvolution, filters: int, channels: int) -> Bytes:
    """The weights, 1 for +1, uint8 (filters, size, size, channels), with zeros beyond the layer's own."""
    own, inputs, size, _ = layer.convolution.weight_shape
    bits = np.zeros((filters, size, size, channels), np.uint8)
    bits[:own, :, :, :inputs] = layer.sign_bits.transpose(0, 2, 3, 1)
    return bits


def constants(layer: BinaryConvolution) -> NDArray[np.int64]:
    """The constant n * B of each filter, whose accumulator is n * B - S."""
    positive: NDArray[np.int64] = layer.sign_bits.sum(axis=(1, 2, 3), dtype=np.int64)
    return positive * ((1 << layer.input_bits) - 1)


def bounds(layer: QuantizedLayer) -> NDArray[np.int64]:
    """What S is compared with, (filters, n): the accumulator exceeds a threshold T where S < n * B - T.

    They lie from -limit - 1 to 2 * limit + 1: n * B is at most the accumulator's limit, a threshold within limit + 1.
    """
    return constants(layer)[:, None] - layer.thresholds


def levels_work(bits: int) -> int:
    """What levels of so many bits are made of: a comparison for each bound, and two steps to store each plane."""
    return (1 << bits) - 1 + 2 * bits


def pooled_cells(pool: MaxPool, height: int, width: int, output: Shape) -> NDArray[np.intp]:
    """Which cells each window of a max pool covers: indices (cells out, size * size) into height * width.

    A cell outside the map is replaced by the nearest one inside, which the window holds too.
    """
    before = pool.padding // 2
    offsets = np.arange(pool.size) - before
    rows = np.clip(np.arange(output.height)[:, None] * pool.stride + offsets, 0, height - 1)
    columns = np.clip(np.arange(output.width)[:, None] * pool.stride + offsets, 0, width - 1)
    cells = rows[:, None, :, None] * width + columns[None, :, None, :]
    indices: NDArray[np.intp] = cells.reshape(output.height * output.width, -1)
    return indices


def pools_quads(layer: QuantizedLayer) -> bool:
    """Whether its max pool is 2x2 with stride 2: kernels pool the sums of four windows before they make levels."""
    return layer.pool is not None and (layer.pool.size, layer.pool.stride) == (2, 2)


@dataclass(frozen=True, eq=False)
class Quads:
    """The windows that a kernel sums four at a time, and the cells that it writes.

    Attributes:
        windows: the byte offset of each window in a plane of the map that is read, four to a quad.
        cells: the byte offset, in a plane of the map that is written, of each quad's cell if the four windows are
            pooled, and else of each window's.
    """

    windows: Int32
    cells: Int32

    @classmethod
    def of(cls, layer: QuantizedLayer, read: MapLayout, write: MapLayout) -> Quads:
        """The windows of a layer, pooled where it ``pools_quads``."""
        _, height, width = layer.convolved(read.shape)
        windows, cells = read.windows(layer.convolution, height, width).ravel(), write.cells().ravel()
        if layer.pool is not None and pools_quads(layer):
            return cls(windows[pooled_cells(layer.pool, height, width, write.shape)].ravel(), cells)
        return cls(whole_quads(windows), whole_quads(cells))

    def __len__(self) -> int:
        return self.windows.size // QUAD


def whole_quads(offsets: Int32) -> Int32:
    """Offsets, the last one again until there is a whole number of quads: the same result is then made twice."""
    return np.pad(offsets, (0, -offsets.size % QUAD), mode="edge")
