"""A narrow layer for the kernel with pixels in the lanes, and what it should take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.packing import LANES, bounds, sign_bits
from tinier_yolo.runtime.kernels.rows.kernels import (
    CHANNELS,
    COLUMNS,
    MOST_BITS,
    PATTERNS,
    PIXELS,
    SLOT,
    Filters,
    Source,
    Target,
    convolve_rows,
    convolve_rows_parallel,
)
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import READ_AHEAD, MapLayout, PackedMap

#: The kernel is for few channels: it keeps the sums of four rows, for 64 channels 64 KiB of them, which a cache of the
#: second level has room for.
_MOST_CHANNELS = 64
#: A slot that is added, beside one alone: the loads of terms are the same, the loops longer.
_SLOT_ADDED = 0.87
# What is done besides, in slots: the 32 slots of eight channels of 62 pixels are made, and with cells of more than two
# bytes, whose bytes are gathered one by one, for each plane; the bytes of a run are widened; and for 62 pixels a filter
# begins and each of its bounds is compared; a byte or two of a cell are stored.
_MAKE, _GATHER, _WIDEN, _FILTER, _BOUND, _STORE = 250.0, 35.0, 1.3, 18.0, 3.5, 2.5


@dataclass(frozen=True, eq=False)
class PackedRows:
    """A layer, and its numbers for the kernel."""

    layer: QuantizedLayer
    filters: Filters


def fits(layer: QuantizedLayer, read: MapLayout, write: MapLayout) -> bool:
    """Whether the kernel can run this layer."""
    convolution, pool, convolved = layer.convolution, layer.pool, layer.convolved(read.shape)
    return (
        (convolution.size, convolution.stride, convolution.padding) == (3, 1, 1)
        and pool is not None
        and (pool.size, pool.stride) == (2, 2)
        and pool.padding <= 1
        # No window of the pool reaches over the right or lower edge.
        and (2 * write.shape.height <= convolved.height and 2 * write.shape.width <= convolved.width)
        and convolution.input.channels <= _MOST_CHANNELS
        and layer.input_bits <= MOST_BITS
    )


def cost(layer: QuantizedLayer, read: MapLayout, write: MapLayout, costs: Costs) -> float:
    """Nanoseconds that a layer that :func:`fits` should take."""
    filters, cell = layer.convolution.filters, read.channel_bytes
    rows, width = write.shape.height, 2 * write.shape.width
    blocks, wide = -(-width // COLUMNS), vectors(width) * filters
    _, runs = _runs(2 * cell, layer.input_bits)
    added = wide * 2 * cell * 2 * 9 * _SLOT_ADDED
    made = 2 * blocks * cell * (_MAKE + (_GATHER * layer.input_bits if cell > 2 else 0))
    compared = blocks * filters * (_FILTER + ((1 << layer.bits) - 1) * _BOUND)
    # Those of whole slots of 9 to 16 filters are stored at once.
    alone = width // 2 - (width // COLUMNS * COLUMNS // 2 if write.channel_bytes == 2 else 0)
    stored = alone * -(-filters // LANES) * layer.bits * _STORE
    return rows * (added + made + wide * 6 * runs * _WIDEN + compared + stored) * costs.slot


def pack(layer: QuantizedLayer) -> PackedRows:
    """A layer that :func:`fits`."""
    # Sums and bounds are int16. S is at most the limit, 15 * 64 * 9, and a bound at most 2 * limit + 1: see ``bounds``.
    assert 2 * layer.limit + 1 <= np.iinfo(np.int16).max
    filters, channels, size, _ = layer.convolution.weight_shape
    fours = 2 * -(-channels // 8)
    bits = sign_bits(layer, filters, fours * CHANNELS).reshape(filters, size, size, fours, CHANNELS)
    patterns = bits @ (1 << np.arange(CHANNELS))
    places = (np.arange(fours) * PATTERNS + patterns) * SLOT
    # Three places to a term, of 16 bits each: a row of slots has 16 * 16 * 64 bytes at most.
    assert fours * PATTERNS * SLOT <= 1 << 16
    terms = (places.swapaxes(2, 3) << 16 * np.arange(size)).sum(axis=-1)
    run, runs = _runs(fours, layer.input_bits)
    made = Filters(
        terms=terms.reshape(-1),
        run=run,
        runs=runs,
        bounds=bounds(layer).astype(np.int16).reshape(-1),
        flips=np.packbits(np.pad(layer.flips, (0, -filters % LANES)), bitorder="little").view("<i2"),
        number=filters,
        size=size,
    )
    return PackedRows(layer, made)


def steps(packed: PackedRows, read: PackedMap, write: PackedMap) -> list[Step]:
    """The whole layer in one step."""
    assert SLOT <= READ_AHEAD, "the kernel reads the cells of a slot at a time"
    given, made = read.layout, write.layout
    width = 2 * made.shape.width
    source = Source(read.data, given.plane_bytes, given.planes, given.row_bytes, given.channel_bytes, width)
    target = Target(write.data, made.plane_bytes, made.planes, made.row_bytes, made.channel_bytes, made.origin)
    step = Step(
        "convolve, pool",
        convolve_rows,
        convolve_rows_parallel,
        (*source, *packed.filters, *target),
        made.shape.height,
        write,
        macs=packed.layer.macs(given.shape),
        planes=given.planes,
    )
    return [step]


def vectors(width: int) -> int:
    """Vectors of pixels that a row of this many columns takes."""
    slots, rest = divmod(width, COLUMNS)
    return 2 * slots + (0 if rest == 0 else 1 if rest <= PIXELS else 2)


def _runs(fours: int, bits: int) -> tuple[int, int]:
    # A term is at most n for each channel, and terms come in threes.
    limit = 255 // (3 * CHANNELS * ((1 << bits) - 1))
    if 3 * fours <= limit:
        return fours, 0
    run = max(size for size in range(1, limit + 1) if fours % size == 0)
    return run, fours // run
