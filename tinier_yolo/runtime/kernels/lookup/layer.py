"""From a program's tensors to the layouts of the lookup kernels; ``kernels_lookup`` says what they are and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import BinaryConvolution, QuantizedLayer
from tinier_yolo.runtime.kernels.lookup.kernels import BLOCK, FILTERS, LANE_FILTERS, Levels, Lookup
from tinier_yolo.runtime.kernels.lookup.vectors import BITS, ENTRIES, GROUPS, TOTALS, WINDOWS
from tinier_yolo.runtime.kernels.packing import LANES, MapLayout, aligned, constants, sign_bits
from tinier_yolo.runtime.kernels.popcount.vectors import COUNTS_WORDS

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]

#: A bound that every sum of a layer is below: the greatest uint16.
_MOST = 65535
#: Bytes of tables, weights and sums that a segment may touch, for them to stay in the caches next to the core.
_CACHED = 40 << 10

# Cycles on a Zen 4, with its own instructions and held back to those of others, as measured in 2026. Only their
# proportions count. A lookup is one of 64 filters in one window; a word is one of 16 filters.
_LOOKUP = 1.6 if GROUPS == 2 and BITS == 6 else 1.8
_LONE_LOOKUP = 2.6 if GROUPS == 2 else _LOOKUP
_WORD = 1.65 if COUNTS_WORDS else 4.8
_TABLE, _TABLE_PLANE = 2.0, 1.15
_LEVELS, _WORD_LEVELS = 30, 6


def possible(layer: BinaryConvolution) -> bool:
    """Whether the lookup kernels can run a layer on this machine: its tables fit bytes, and its sums uint16."""
    _, channels, size, _ = layer.convolution.weight_shape
    greatest = (1 << layer.input_bits) - 1
    return 0 < greatest * BITS <= 255 and greatest * channels * size**2 < _MOST


def pays_off(layer: BinaryConvolution) -> bool:
    """Whether they can, and are quicker at it than the kernels that count bits."""
    filters, channels, size, _ = layer.convolution.weight_shape
    if not possible(layer):
        return False
    chunks, (pairs, lone) = -(-channels // BITS), divmod(-(-filters // FILTERS), 2)
    tables = chunks * (_TABLE + _TABLE_PLANE * layer.input_bits) * layer.convolution.stride**2
    lookups = size**2 * chunks * (2 * pairs * _LOOKUP + lone * _LONE_LOOKUP) + tables + (2 * pairs + lone) * _LEVELS
    groups, words = -(-filters // LANES), size * -(-channels * size // 32)
    return lookups < groups * (words * layer.input_bits * _WORD + _WORD_LEVELS)


@dataclass(frozen=True, eq=False)
class PackedLookup:
    """A convolution's weights as indices, in the order in which its lookups are done.

    Attributes:
        planes: bits of a level of its input.
        size: rows and columns of its kernel.
        channels: of its input.
        order: kernel row, kernel column and chunk of each lookup, (lookups, 3).
        bursts: how many lookups each burst has.
        segments: the first burst of each segment, and at the end the number of bursts.
        weights: uint8 [filter / 64][lookup][64 lanes], aligned.
    """

    planes: int
    size: int
    channels: int
    order: NDArray[np.intp]
    bursts: tuple[int, ...]
    segments: tuple[int, ...]
    weights: Bytes

    @classmethod
    def of(cls, layer: BinaryConvolution) -> PackedLookup:
        """Pack a layer's weights."""
        _, channels, size, _ = layer.convolution.weight_shape
        chunks = -(-channels // BITS)
        order, bursts, segments = _ordered(size, chunks, 255 // (((1 << layer.input_bits) - 1) * BITS))
        weights = _indices(layer)[(..., *order.T)]
        packed = aligned((len(weights) // FILTERS, len(order), FILTERS), np.uint8)
        packed[:] = weights.reshape(-1, FILTERS, len(order))[:, LANE_FILTERS].transpose(0, 2, 1)
        return cls(layer.input_bits, size, channels, order, bursts, segments, packed.reshape(-1))

    def lookup(self, layout: MapLayout, data: Bytes, windows: Int32) -> Lookup:
        """The kernels' argument.

        Args:
            layout: of the input map.
            data: the input map.
            windows: the byte offset of each window in a plane, four to a quad.
        """
        chunks = -(-self.channels // BITS)
        cells = layout.row_bytes // layout.channel_bytes
        rows, columns = np.divmod(windows.reshape(-1, 1, WINDOWS), layout.row_bytes)
        needed = rows.max((1, 2)) + self.size
        # A block may begin at any quad, where a thread's share does.
        block_needs = needed[np.minimum(np.arange(len(needed)) + BLOCK, len(needed)) - 1]
        slots = int((block_needs - rows.min((1, 2))).max())
        slot = (rows + np.arange(self.size)[:, None]) % slots
        tables = slot * cells + columns // layout.channel_bytes
        ends = np.array(self.segments)
        first = np.cumsum([0, *self.bursts])
        taps = (self.order[:, 1] * chunks + self.order[:, 2]) * ENTRIES
        return Lookup(
            source=data,
            plane=layout.plane_bytes,
            planes=layout.planes,
            row=layout.row_bytes,
            cells=cells,
            cell=layout.channel_bytes,
            codes=codes(self.planes),
            chunks=chunks,
            mask=(1 << self.channels - BITS * (chunks - 1)) - 1,
            size=self.size,
            slots=slots,
            needed=needed.astype(np.int32),
            places=(tables * chunks * ENTRIES).astype(np.int32).ravel(),
            taps=np.insert(taps, first[1:], -1).astype(np.int32),
            rows=self.order[first[:-1], 0].astype(np.int32),
            segments=np.stack([first[ends] + ends, ends], 1).astype(np.int32).ravel(),
            weights=self.weights,
        )

    def scratch(self, lookup: Lookup) -> int:
        """Bytes of the tables and sums that a kernel keeps while it works."""
        groups = self.weights.size // (len(self.order) * FILTERS)
        return lookup.slots * lookup.cells * lookup.chunks * ENTRIES + BLOCK * groups * TOTALS * 2


def _ordered(size: int, chunks: int, most: int) -> tuple[NDArray[np.intp], tuple[int, ...], tuple[int, ...]]:
    # The lookups of a window, in bursts of at most `most` of one kernel row, in segments of what the cache holds: all
    # rows, or else one row, or else some chunks of it.
    touched = (BLOCK * WINDOWS + 3 * size) * chunks * ENTRIES  # By one row, weights of two groups included.
    together = size if size * touched <= _CACHED else 1
    parts = min(-(-together * touched // _CACHED), chunks)
    order, bursts, segments = [], [], [0]
    for first in range(0, size, together):
        for part in np.array_split(np.arange(chunks), parts):
            lookups = len(part) * size
            for row in range(first, first + together):
                order += [(row, column, chunk) for chunk in part for column in range(size)]
                bursts += [len(burst) for burst in np.array_split(np.arange(lookups), -(-lookups // most))]
            segments.append(len(bursts))
    return np.array(order), tuple(bursts), tuple(segments)


def _indices(layer: BinaryConvolution) -> Bytes:
    # The weights as indices, (whole groups of filters, size, size, chunks); bit i is that of the chunk's i-th channel.
    filters, channels, size, _ = layer.convolution.weight_shape
    padded, chunks = -(-filters // FILTERS) * FILTERS, -(-channels // BITS)
    bits = sign_bits(layer, padded, chunks * BITS)
    shifted = bits.reshape(padded, size, size, chunks, BITS) << np.arange(BITS, dtype=np.uint8)
    indices: Bytes = shifted.sum(-1, dtype=np.uint8)
    return indices


def codes(planes: int) -> Bytes:
    """What BITS bits of a plane add to each entry of a table, uint8 [plane][bits][entry], aligned."""
    indices = np.arange(ENTRIES, dtype=np.uint8)
    differing = np.unpackbits((indices[:, None] ^ indices)[..., None], axis=-1).sum(-1, dtype=np.uint8)
    made: Bytes = aligned((planes, ENTRIES, ENTRIES), np.uint8)
    made[:] = differing << np.arange(planes, dtype=np.uint8)[:, None, None]
    return made.reshape(-1)


def levels(layer: QuantizedLayer, flipped: bool, layout: MapLayout, data: Bytes, cells: Int32) -> Levels:
    """The kernels' argument.

    Args:
        layer: the layer.
        flipped: whether its flips are applied; not where a pool is to follow.
        layout: of the map that is written.
        data: that map.
        cells: the byte offset of each cell in a plane, a whole number of quads where cells are not pooled.
    """
    filters, n = layer.thresholds.shape
    groups = -(-filters // FILTERS)
    bounds = np.zeros((groups * FILTERS, n), np.int64)
    bounds[:filters] = np.clip(constants(layer)[:, None] - layer.thresholds, 0, _MOST)
    packed = aligned((groups, n, FILTERS), np.uint16)
    packed[:] = bounds.reshape(groups, FILTERS, n).transpose(0, 2, 1)
    flips = np.zeros(groups * FILTERS, np.bool_)
    flips[:filters] = layer.flips & flipped
    return Levels(
        bounds=packed.reshape(-1),
        flips=np.packbits(flips, bitorder="little").view("<u8").astype(np.uint64),
        target=data,
        plane=layout.plane_bytes,
        planes=layout.planes,
        cell=layout.channel_bytes,
        cells=cells,
    )
