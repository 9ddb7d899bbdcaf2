"""A layer of a fixed-point program, packed for the kernels, and its maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.fixed_point.layer import LEAKY_BITS, LEAKY_FACTOR, FixedPointLayer
from tinier_yolo.runtime.kernels.packing import pooled_cells, whole_quads
from tinier_yolo.runtime.kernels.products.kernels import (
    QUAD,
    UNIT_QUADS,
    Convolution,
    Pool,
    Widen,
    convolve_8,
    convolve_8_parallel,
    convolve_16,
    convolve_16_parallel,
    convolve_32,
    convolve_32_parallel,
    pool,
    pool_parallel,
    widen,
    widen_parallel,
)
from tinier_yolo.runtime.kernels.products.vectors import WIDE
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import READ_AHEAD, aligned

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

#: Blocks of filters, and so the channels of every map but the image's, are multiples of it.
_LANES = 8
#: Filters of a block, the best first.
_BLOCKS = (32, 16, _LANES) if WIDE else (16, _LANES)
_FACTORS = {"linear": 1 << LEAKY_BITS, "leaky": LEAKY_FACTOR, "relu": 0}
_KERNELS = {
    8: (convolve_8, convolve_8_parallel),
    16: (convolve_16, convolve_16_parallel),
    32: (convolve_32, convolve_32_parallel),
}


@dataclass(frozen=True, eq=False)
class IntegerMap:
    """A map of int16: [row][column][channel] with a border of zeros; channels are filled up with zeros.

    Attributes:
        shape: channels, height, width.
        border: zeros on every side: the padding of the convolution that reads the map.
        is_image: whether the channels are not filled up.
    """

    shape: Shape
    border: int
    is_image: bool = False

    @property
    def channels(self) -> int:
        """Values from cell to cell."""
        return self.shape.channels if self.is_image else -(-self.shape.channels // _LANES) * _LANES

    @property
    def row(self) -> int:
        """Values from row to row."""
        return (self.shape.width + 2 * self.border) * self.channels

    @property
    def origin(self) -> int:
        """Where the first cell begins."""
        return self.border * (self.row + self.channels)

    @cached_property
    def data(self) -> Int16:
        """The values, zeros at first; a kernel may read some behind the last cell, which count nothing."""
        values: Int16 = aligned(((self.shape.height + 2 * self.border) * self.row + READ_AHEAD,), np.int16)
        return values

    def cells(self) -> Int32:
        """Where each cell begins, (height, width)."""
        return self._places(self.origin, self.shape.height, self.shape.width, 1)

    def windows(self, height: int, width: int, stride: int) -> Int32:
        """Where each window of the convolution that reads the map begins, (height, width) of its output."""
        return self._places(0, height, width, stride)

    def values(self) -> Int16:
        """Its values, int16 (channels, height, width), a new array."""
        places = self.cells()[..., None] + np.arange(self.shape.channels)
        return np.ascontiguousarray(self.data[places].transpose(2, 0, 1))

    levels = values

    def _places(self, origin: int, height: int, width: int, stride: int) -> Int32:
        rows, columns = np.arange(height) * stride * self.row, np.arange(width) * stride * self.channels
        places: Int32 = (origin + rows[:, None] + columns).astype(np.int32)
        return places


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A layer and its numbers for the kernel.

    Attributes:
        layer: the layer.
        lanes: filters of a block.
        pairs: pairs of values of a row of its window.
        weights: int16 [block][row][pair][filter][2].
        offsets: int32 (filters,), filled up.
    """

    layer: FixedPointLayer
    lanes: int
    pairs: int
    weights: Int16
    offsets: Int32

    @classmethod
    def of(cls, layer: FixedPointLayer, is_first: bool) -> PackedLayer:
        """Pack a layer; the first one reads an image, whose channels are not filled up."""
        filters, channels, size, _ = layer.weights.shape
        filled = -(-filters // _LANES) * _LANES
        lanes = next(lanes for lanes in _BLOCKS if filled % lanes == 0)
        read = channels if is_first else -(-channels // _LANES) * _LANES
        run = size * read
        pairs = -(-run // 2)
        weights = np.zeros((filled, size, size, read), np.int16)
        weights[:filters, ..., :channels] = layer.weights.transpose(0, 2, 3, 1)
        runs = np.zeros((filled, size, 2 * pairs), np.int16)
        runs[..., :run] = weights.reshape(filled, size, run)
        blocks = runs.reshape(filled // lanes, lanes, size, pairs, 2).transpose(0, 2, 3, 1, 4)
        offsets = np.zeros(filled, np.int32)
        offsets[:filters] = layer.offsets
        return cls(layer, lanes, pairs, np.ascontiguousarray(blocks).ravel(), offsets)

    def steps(self, read: IntegerMap, write: IntegerMap) -> list[Step]:
        """What makes the one map of the other, in order."""
        layer = self.layer
        convolved = layer.convolved(read.shape)
        windows = read.windows(*convolved[1:], layer.convolution.stride).ravel()
        if layer.pool is None:
            return [self._convolution(read, whole_quads(windows), write, whole_quads(write.cells().ravel()), False)]
        picked = pooled_cells(layer.pool, *convolved[1:], write.shape)
        if picked.shape[1] == QUAD and layer.pool.stride == layer.pool.size:
            return [self._convolution(read, windows[picked].ravel(), write, write.cells().ravel(), True)]
        between = IntegerMap(convolved, 0)
        cells = between.cells().ravel()
        arguments = Pool(between.data, cells[picked], write.data, write.cells().ravel(), write.channels)
        step = Step("max pool", pool, pool_parallel, arguments, len(picked), write)
        return [self._convolution(read, whole_quads(windows), between, whole_quads(cells), False), step]

    def _convolution(self, read: IntegerMap, windows: Int32, write: IntegerMap, cells: Int32, pooled: bool) -> Step:
        layer, made = self.layer, self.layer.formats.maps
        units = -(-windows.size // (QUAD * UNIT_QUADS))
        arguments = Convolution(
            source=read.data,
            windows=windows,
            row=read.row,
            rows=layer.convolution.size,
            pairs=self.pairs,
            weights=self.weights,
            offsets=self.offsets,
            factor=_FACTORS[layer.convolution.activation],
            shift=layer.shift,
            lowest=made.lowest,
            highest=made.highest,
            target=write.data,
            cells=cells,
            pooled=pooled,
            units=units,
        )
        name = "multiply, pool" if pooled else "multiply"
        macs, blocks = layer.macs(read.shape), len(self.offsets) // self.lanes
        return Step(name, *_KERNELS[self.lanes], arguments, units * blocks, write, macs=macs)


def widen_step(write: IntegerMap) -> Step:
    """The image as a map of int16."""
    arguments = Widen(write.data, write.origin, write.row)
    return Step("widen image", widen, widen_parallel, arguments, write.shape.height, write, takes_image=True)
