"""A wide layer for the lookup kernels, and what it should take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import BinaryConvolution, QuantizedLayer
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.lookup.kernels import (
    BLOCK,
    FILTERS,
    LANE_FILTERS,
    Levels,
    Lookup,
    convolve_lookup,
    convolve_lookup_parallel,
    convolve_lookup_pool,
    convolve_lookup_pool_parallel,
)
from tinier_yolo.runtime.kernels.lookup.vectors import BITS, ENTRIES, GROUPS, TOTALS, WINDOWS
from tinier_yolo.runtime.kernels.packing import Quads, bounds, levels_work, pools_quads, sign_bits
from tinier_yolo.runtime.kernels.pool.layer import pool_step, unpooled
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap, aligned

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Uint16 = NDArray[np.uint16]
Words = NDArray[np.uint64]

#: The greatest bound: every sum of a layer that fits is less.
_MOST = 65535
#: Bytes of tables, weights and sums that a segment may touch, for them to stay in the caches next to the core.
_CACHED = 40 << 10

#: A lookup of a layer beside one alone, part of whose time is that of the bursts' ends.
_LOOKUP = 0.77
# What is done beside lookups, in slots: for 64 filters the end of a burst and each bound of a result, for each cell of
# the input its place, and for each of its tables its planes and its store.
_BURST, _LEVEL, _CELL, _TABLE = 7.0, 6.5, 50.0, 1.6


def fits(layer: QuantizedLayer, _read: MapLayout, _write: MapLayout) -> bool:
    """Whether the kernels can run a layer on this machine: its tables fit bytes, and its sums uint16."""
    greatest = (1 << layer.input_bits) - 1
    return 0 < greatest * BITS <= 255 and layer.limit < _MOST


def cost(layer: QuantizedLayer, read: MapLayout, write: MapLayout, costs: Costs) -> float:
    """Nanoseconds that a layer that :func:`fits` should take."""
    filters, channels, size, _ = layer.convolution.weight_shape
    _, height, width = layer.convolved(read.shape)
    windows, chunks, groups = height * width, -(-channels // BITS), -(-filters // FILTERS)
    results = write.shape.height * write.shape.width if pools_quads(layer) else windows
    paired = groups - groups % GROUPS if GROUPS == 2 else 0
    lookups = size**2 * chunks * _LOOKUP * (paired * costs.pair + (groups - paired) * costs.lookup)
    bursts = size * -(-size * chunks // _most(layer.input_bits)) * groups * _BURST
    cells = (read.shape.height + 2 * read.border) * (read.shape.width + 2 * read.border)
    tables = cells * (_CELL + chunks * (1 + layer.input_bits) * _TABLE)
    others = windows * bursts + tables + results * groups * levels_work(layer.bits) * _LEVEL
    return windows * lookups + others * costs.slot


def pack(layer: QuantizedLayer) -> PackedLookup:
    """A layer that :func:`fits`."""
    return PackedLookup.of(layer)


def steps(packed: PackedLookup, read: PackedMap, write: PackedMap) -> list[Step]:
    """The convolution, and the pool where the kernel does not do it."""
    if packed.layer.pool is None or pools_quads(packed.layer):
        return [_convolve_step(packed, read, write, packed.flips)]
    made = unpooled(packed.layer, read)
    convolution = _convolve_step(packed, read, made, np.zeros_like(packed.flips))
    return [convolution, pool_step(packed.layer, made, write)]


def _convolve_step(packed: PackedLookup, read: PackedMap, write: PackedMap, flips: Words) -> Step:
    layer, layout = packed.layer, write.layout
    quads = Quads.of(layer, read.layout, layout)
    lookup = packed.lookup(read, quads.windows)
    levels = Levels(
        bounds=packed.bounds,
        flips=flips,
        target=write.data,
        plane=layout.plane_bytes,
        planes=layout.planes,
        cell=layout.channel_bytes,
        cells=quads.cells,
    )
    pooled = pools_quads(layer)
    return Step(
        "look up, pool" if pooled else "look up",
        convolve_lookup_pool if pooled else convolve_lookup,
        convolve_lookup_pool_parallel if pooled else convolve_lookup_parallel,
        (*lookup, *levels),
        len(quads),
        write,
        macs=layer.macs(read.layout.shape),
        planes=read.layout.planes,
        scratch=packed.scratch(lookup),
    )


@dataclass(frozen=True, eq=False)
class PackedLookup:
    """A layer: its weights as indices, in the order in which its lookups are done, and its thresholds.

    Attributes:
        layer: the layer.
        order: kernel row, kernel column and chunk of each lookup, (lookups, 3).
        bursts: how many lookups each burst has.
        segments: the first burst of each segment, and at the end the number of bursts.
        weights: uint8 [filter / 64][lookup][64 lanes], aligned.
        bounds: uint16 [filter / 64][n][64], aligned.
        flips: uint64 (filters / 64,).
    """

    layer: QuantizedLayer
    order: NDArray[np.intp]
    bursts: tuple[int, ...]
    segments: tuple[int, ...]
    weights: Bytes
    bounds: Uint16
    flips: Words

    @classmethod
    def of(cls, layer: QuantizedLayer) -> PackedLookup:
        """Pack a layer that :func:`fits`."""
        # Sums are uint16, and so are bounds. A bound above every possible sum is cut to the greatest uint16, which
        # still is above every sum.
        assert layer.limit < _MOST
        _, channels, size, _ = layer.convolution.weight_shape
        order, bursts, segments = _ordered(size, -(-channels // BITS), _most(layer.input_bits))
        weights = _indices(layer)[(..., *order.T)]
        packed = aligned((len(weights) // FILTERS, len(order), FILTERS), np.uint8)
        packed[:] = weights.reshape(-1, FILTERS, len(order))[:, LANE_FILTERS].transpose(0, 2, 1)
        return cls(layer, order, bursts, segments, packed.reshape(-1), _bounds(layer), _flips(layer))

    def lookup(self, read: PackedMap, windows: Int32) -> Lookup:
        """The kernels' argument, for windows of a map at these byte offsets in a plane, four to a quad."""
        layout, size, channels = read.layout, self.layer.convolution.size, self.layer.convolution.input.channels
        chunks, cells = -(-channels // BITS), layout.row_bytes // layout.channel_bytes
        rows, columns = np.divmod(windows.reshape(-1, 1, WINDOWS), layout.row_bytes)
        needed, slots = _ring(rows, size)
        # Where the table of each window's cell begins, in each kernel row; along a row of the map tables lie side by
        # side. A tap is then the offset of one kernel column and chunk from there.
        tables = (rows + np.arange(size)[:, None]) % slots * cells + columns // layout.channel_bytes
        ends = np.array(self.segments)
        first = np.cumsum([0, *self.bursts])
        taps = (self.order[:, 1] * chunks + self.order[:, 2]) * ENTRIES
        return Lookup(
            source=read.data,
            plane=layout.plane_bytes,
            planes=layout.planes,
            row=layout.row_bytes,
            cells=cells,
            cell=layout.channel_bytes,
            codes=codes(layout.planes),
            chunks=chunks,
            mask=(1 << channels - BITS * (chunks - 1)) - 1,
            size=size,
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


def _ring(rows: NDArray[np.integer[Any]], size: int) -> tuple[NDArray[np.integer[Any]], int]:
    """How the tables of a map's rows are kept: for each quad, one past the last row that it reads; and how many slots.

    The tables of a row are made before the first block of quads that needs them, and are kept in a ring of as many rows
    ("slots") as a block needs at once. Row r is in slot r % slots. There it takes the place of row r - slots, which no
    window needs any more. With a 3x3 kernel and quads of windows side by side, a block that ends one row of windows and
    begins the next one needs four rows:

        row of the map                         0   1   2   3   4   5
        slot                                   0   1   2   3   0   1
        quads of the first row                [0   1   2]
        a block of the first and the second   [0   1   2   3]
        quads of the second row                   [1   2   3]
        a block of the second and the third       [1   2   3   4]     row 4 takes the place of row 0

    Args:
        rows: the first row of the map that each window needs, (quads, 1, WINDOWS).
        size: rows of the convolution's kernel.
    """
    needed = rows.max((1, 2)) + size
    # A block may begin at any quad, where a thread's share does.
    block_needs = needed[np.minimum(np.arange(len(needed)) + BLOCK, len(needed)) - 1]
    return needed, int((block_needs - rows.min((1, 2))).max())


def _ordered(size: int, chunks: int, most: int) -> tuple[NDArray[np.intp], tuple[int, ...], tuple[int, ...]]:
    # A window's lookups are split twice: into segments that fit the cache (all kernel rows, else one row, else part of
    # one), and within them into bursts of at most `most` lookups from one row.
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


def _most(bits: int) -> int:
    """Lookups whose sum a byte holds, for levels of so many bits."""
    return 255 // (((1 << bits) - 1) * BITS)


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


def _bounds(layer: QuantizedLayer) -> Uint16:
    filters, n = layer.thresholds.shape
    groups = -(-filters // FILTERS)
    padded = np.zeros((groups * FILTERS, n), np.int64)
    padded[:filters] = np.clip(bounds(layer), 0, _MOST)
    packed: Uint16 = aligned((groups, n, FILTERS), np.uint16)
    packed[:] = padded.reshape(groups, FILTERS, n).transpose(0, 2, 1)
    return packed.reshape(-1)


def _flips(layer: QuantizedLayer) -> Words:
    padded = np.pad(layer.flips, (0, -len(layer.flips) % FILTERS))
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)
