"""Maps between layers: where their bits are, and their memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Convolutional, Shape
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.tensors import IMAGE_BITS

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]

#: Bytes of a cache line, and of the widest vector.
ALIGNMENT = 64
#: How many cells a kernel may read at a time. Of those that it reads last, some lie behind the map.
READ_AHEAD = 64


def aligned(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Zeros whose first byte is at a multiple of ALIGNMENT."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)


@dataclass(frozen=True)
class MapLayout:
    """Where a map's bits are: bytes [plane][row][column][channel / 8] with a border of zeros; channel c is bit c % 8.

    Attributes:
        shape: channels, height, width.
        planes: bits of a level.
        border: zeros on every side: the padding of the convolution that reads the map.
    """

    shape: Shape
    planes: int
    border: int

    @property
    def is_image(self) -> bool:
        """Whether this is the image: no quantiser makes levels of so many bits."""
        return self.planes == IMAGE_BITS

    @property
    def channel_bytes(self) -> int:
        """Bytes of a cell in one plane."""
        return -(-self.shape.channels // 8)

    @property
    def row_bytes(self) -> int:
        """Bytes from row to row."""
        return (self.shape.width + 2 * self.border) * self.channel_bytes

    @property
    def plane_bytes(self) -> int:
        """Bytes from plane to plane; a word may be read from the last bytes of a plane on."""
        size = (self.shape.height + 2 * self.border) * self.row_bytes + 8
        return -(-size // ALIGNMENT) * ALIGNMENT

    @property
    def origin(self) -> int:
        """The byte offset of the first cell in a plane."""
        return self.border * (self.row_bytes + self.channel_bytes)

    def allocate(self) -> Bytes:
        """A map of zeros.

        Raises:
            UsageError: it would be too large.
        """
        if self.plane_bytes >= 1 << 31:
            raise UsageError("a map too large for this program", expected="less than 2 GiB a plane", found=self.shape)
        size = self.planes * self.plane_bytes
        data: Bytes = aligned((size + READ_AHEAD * self.channel_bytes,), np.uint8)
        return data[:size]

    def cells(self) -> Int32:
        """The byte offset of each cell in a plane, (height, width)."""
        return self._offsets(self.border, self.border, self.shape.height, self.shape.width, 1)

    def windows(self, convolution: Convolutional, height: int, width: int) -> Int32:
        """The byte offset of each window of the convolution that reads the map, (height, width) of its output."""
        return self._offsets(0, 0, height, width, convolution.stride)

    def unpack(self, data: Bytes) -> Bytes:
        """The levels of a map, uint8 (channels, height, width)."""
        levels = np.zeros((*self.shape[1:], self.shape.channels), np.uint8)
        for plane in range(self.planes):
            bits = np.unpackbits(self._plane(data, plane), axis=2, count=self.shape.channels, bitorder="little")
            levels |= bits << plane
        return np.ascontiguousarray(levels.transpose(2, 0, 1))

    def pack(self, levels: Bytes, data: Bytes) -> None:
        """Write levels, uint8 (channels, height, width), into a map's bytes."""
        cells = np.ascontiguousarray(levels.transpose(1, 2, 0))
        for plane in range(self.planes):
            self._plane(data, plane)[:] = np.packbits(cells >> plane & 1, axis=2, bitorder="little")

    def _plane(self, data: Bytes, plane: int) -> Bytes:
        # The cells of a plane without the border, (height, width, channel_bytes), a view.
        _, height, width = self.shape
        start = plane * self.plane_bytes + self.origin
        strides = (self.row_bytes, self.channel_bytes, 1)
        return np.ndarray((height, width, self.channel_bytes), np.uint8, data[start:], strides=strides)

    def _offsets(self, top: int, left: int, height: int, width: int, stride: int) -> Int32:
        rows = (top + np.arange(height) * stride) * self.row_bytes
        columns = (left + np.arange(width) * stride) * self.channel_bytes
        return (rows[:, None] + columns).astype(np.int32)


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A map: its layout and its bytes."""

    layout: MapLayout

    @cached_property
    def data(self) -> Bytes:
        """The bytes, zeros at first, allocated when a kernel first needs them: the image's own map often is not made.

        Raises:
            UsageError: the map would be too large.
        """
        return self.layout.allocate()

    def levels(self) -> Bytes:
        """Its levels, uint8 (channels, height, width)."""
        return self.layout.unpack(self.data)
