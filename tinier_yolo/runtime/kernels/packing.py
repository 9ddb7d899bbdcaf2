"""From a program's tensors to the layouts of the kernels; ``kernels`` says what they are and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Convolutional, MaxPool, Shape
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.program import BinaryConvolution, OutputLayer, QuantizedLayer
from tinier_yolo.runtime.kernels.image.kernels import CHANNELS, COLUMNS, PATTERNS, ROWS, TERMS
from tinier_yolo.runtime.kernels.rows.kernels import SLOT

Bytes = NDArray[np.uint8]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

#: Filters in a vector.
LANES = 16
#: Bytes of a cache line, and of the widest vector.
ALIGNMENT = 64
#: A lane without a filter: no S is below it.
_NEVER = np.iinfo(np.int32).min


def aligned(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Zeros whose first byte is at a multiple of ALIGNMENT."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)


@dataclass(frozen=True)
class MapLayout:
    """Where a map's bits are: bytes [plane][row][column][channel / 8] with a border of zeros.

    Attributes:
        shape: channels, height, width.
        planes: bits of a level.
        border: zeros on every side: the padding of the convolution that reads the map.
    """

    shape: Shape
    planes: int
    border: int

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

    def allocate(self) -> Bytes:
        """A map of zeros.

        Raises:
            UsageError: it would be too large.
        """
        if self.plane_bytes >= 1 << 31:
            raise UsageError("a map too large for this program", expected="less than 2 GiB a plane", found=self.shape)
        # Of the cells that ``kernels_rows`` reads at a time the last ones may lie behind the last plane.
        size = self.planes * self.plane_bytes
        data: Bytes = aligned((size + SLOT * self.channel_bytes,), np.uint8)
        return data[:size]

    def cells(self) -> Int32:
        """The byte offset of each cell in a plane, (height, width)."""
        return self._offsets(self.border, self.border, self.shape.height, self.shape.width, 1)

    def windows(self, convolution: Convolutional, height: int, width: int) -> Int32:
        """The byte offset of each window of the convolution that reads the map, (height, width) of its output."""
        return self._offsets(0, 0, height, width, convolution.stride)

    def unpack(self, data: Bytes) -> Bytes:
        """The levels of a map, uint8 (channels, height, width)."""
        channels = np.arange(self.shape.channels)
        levels = np.zeros(self.shape, np.uint8)
        for plane in range(self.planes):
            places = plane * self.plane_bytes + self.cells()[None] + channels[:, None, None] // 8
            levels |= ((data[places] >> (channels % 8)[:, None, None]) & 1).astype(np.uint8) << plane
        return levels

    def _offsets(self, top: int, left: int, height: int, width: int, stride: int) -> Int32:
        rows = (top + np.arange(height) * stride) * self.row_bytes
        columns = (left + np.arange(width) * stride) * self.channel_bytes
        return (rows[:, None] + columns).astype(np.int32)


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """The sign bits of a convolution.

    Attributes:
        words: int32 [filter / 16][word][16], aligned; whole words first.
        whole: how many words of 32 valid bits a filter has.
        mask: the bits that are valid in the others, uint32.
        size: rows of the kernel.
    """

    words: Int32
    whole: int
    mask: int
    size: int

    @classmethod
    def of(cls, layer: BinaryConvolution) -> PackedWeights:
        """Pack a layer's weights."""
        filters, channels, size, _ = layer.convolution.weight_shape
        bits = sign_bits(layer, filters, -(-channels // 8) * 8)
        rows = np.packbits(bits, axis=-1, bitorder="little").reshape(filters, size, -1)
        whole, rest = divmod(rows.shape[2], 4)
        rows = np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % 4)))
        words = np.ascontiguousarray(rows).view("<u4")
        ordered = np.concatenate(
            [words[:, :, :whole].reshape(filters, -1), words[:, :, whole:].reshape(filters, -1)], axis=1
        )
        return cls(lanes(ordered.astype(np.uint32).view(np.int32), 0), size * whole, (1 << 8 * rest) - 1, size)

    def taps(self, row_bytes: int) -> Int32:
        """The byte offset of each word from its window's, in a map with that many bytes from row to row."""
        rows = np.arange(self.size)[:, None] * row_bytes
        whole = self.whole // self.size
        tail = [rows[:, 0] + 4 * whole] if self.mask else []
        return np.concatenate([(rows + 4 * np.arange(whole)).ravel(), *tail]).astype(np.int32)


@dataclass(frozen=True, eq=False)
class PackedThresholds:
    """The thresholds of a quantised layer, in terms of S, and its flips.

    Attributes:
        bounds: int32 [filter / 16][threshold][16], aligned.
        toggles: uint64 (thresholds,).
        flips: uint64 (groups of 16 filters,): ones in all planes of the filters whose level is reversed.
        flip_bytes: uint8 (filters / 8,): the same as a row of one plane.
    """

    bounds: Int32
    toggles: Words
    flips: Words
    flip_bytes: Bytes

    @classmethod
    def of(cls, layer: QuantizedLayer) -> PackedThresholds:
        """Pack a layer's thresholds."""
        bounds = constants(layer)[:, None] - layer.thresholds
        planes = range(layer.bits)
        toggles = [sum(1 << LANES * p for p in planes if i % (1 << p) == 0) for i in range(1, 1 << layer.bits)]
        flip_bytes = np.packbits(layer.flips, bitorder="little")
        halves = np.pad(flip_bytes, (0, len(flip_bytes) % 2)).view("<u2").astype(np.uint64)
        flips = halves * np.uint64(sum(1 << LANES * p for p in planes))
        return cls(lanes(bounds.astype(np.int32), _NEVER), np.array(toggles, np.uint64), flips, flip_bytes)


@dataclass(frozen=True, eq=False)
class PackedImageLayer:
    """A first layer for the kernel that reads the image's bytes; see ``kernels_image`` for the terms.

    Attributes:
        terms: int32 (filters, TERMS), ~term where it is subtracted.
        thresholds: int16 (filters, 2^k - 1).
        flips: uint8 (filters / 8,).
    """

    terms: Int32
    thresholds: Int16
    flips: Bytes

    @classmethod
    def of(cls, layer: QuantizedLayer) -> PackedImageLayer:
        """Pack a layer that :meth:`fits`."""
        signs = layer.signs.transpose(0, 2, 1, 3).reshape(-1, TERMS, 3)  # (filters, row and channel, column)
        # Patterns 0 to 3 are (+ + +), (+ + -), (+ - +), (+ - -): the sign of l is that of the term.
        pattern = (signs != signs[..., :1]) @ np.array([0, 2, 1])
        terms = (np.arange(TERMS) * PATTERNS + pattern) * COLUMNS
        return cls(
            np.where(signs[..., 0] < 0, ~terms, terms).astype(np.int32),
            layer.thresholds.astype(np.int16),
            np.packbits(layer.flips, bitorder="little"),
        )

    @staticmethod
    def fits(layer: QuantizedLayer, image: Shape) -> bool:
        """Whether the kernel is made for this layer and an image of this shape."""
        convolution, pool = layer.convolution, layer.pool
        return (
            (convolution.size, convolution.stride, convolution.padding) == (3, 1, 1)
            and pool is not None
            and (pool.size, pool.stride) == (2, 2)
            and pool.padding <= 1
            and image.height % ROWS == image.width % COLUMNS == 0
            and image.channels == CHANNELS
        )


@dataclass(frozen=True, eq=False)
class PackedOutput:
    """The last convolution's numbers, in terms of S: output = multiplier * S + bias.

    Attributes:
        multipliers: int32, aligned, padded to groups of 16 filters.
        biases: the same.
    """

    multipliers: Int32
    biases: Int32

    @classmethod
    def of(cls, layer: OutputLayer) -> PackedOutput:
        """Pack the last layer's numbers."""
        # m * (n B - S) + b. Partial results may leave int32; they wrap around, and the sum is right again.
        biases = layer.multipliers * constants(layer) + layer.biases
        return cls(lanes(-layer.multipliers[:, None], 0), lanes(biases.astype(np.int32)[:, None], 0))


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


def sign_bits(layer: BinaryConvolution, filters: int, channels: int) -> Bytes:
    """The weights, 1 for +1, uint8 (filters, size, size, channels), with zeros beyond the layer's own."""
    own, inputs, size, _ = layer.convolution.weight_shape
    bits = np.zeros((filters, size, size, channels), np.uint8)
    bits[:own, :, :, :inputs] = layer.sign_bits.transpose(0, 2, 3, 1)
    return bits


def constants(layer: BinaryConvolution) -> NDArray[np.int64]:
    """N * B of each filter: the accumulator is N * B - S."""
    positive: NDArray[np.int64] = layer.sign_bits.sum(axis=(1, 2, 3), dtype=np.int64)
    return positive * ((1 << layer.input_bits) - 1)


def lanes(values: Int32, filler: int) -> Int32:
    """(filters, n) -> aligned [filter / 16][n][16], with ``filler`` where there is no filter."""
    filters, n = values.shape
    groups = -(-filters // LANES)
    packed: Int32 = aligned((groups, n, LANES), np.int32)
    padded = np.full((groups * LANES, n), filler, np.int32)
    padded[:filters] = values
    packed[:] = padded.reshape(groups, LANES, n).transpose(0, 2, 1)
    return packed.reshape(-1)
