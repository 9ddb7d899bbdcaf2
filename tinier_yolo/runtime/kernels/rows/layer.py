"""A narrow layer for the kernel with pixels in the lanes, and which layers are worth it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels.lookup import layer as lookup
from tinier_yolo.runtime.kernels.lookup.kernels import FILTERS as LOOKUP_FILTERS
from tinier_yolo.runtime.kernels.packing import LANES, bounds, sign_bits
from tinier_yolo.runtime.kernels.popcount.vectors import COUNTS_WORDS
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
# Below these measures, taken on a Zen 4 in 2026, the popcount kernels are quicker.
#: On a machine that counts bytes (LLVM's targets "haswell" and "x86-64"): the share of the lanes that hold pixels of
#: the row, times the bits of a level. Popcount takes its time for each bit of a level, this kernel for all together.
_LEAST_SHARE = 0.75
#: On a machine that counts 32-bit words: the share of the lanes alone, ...
_LEAST_SHARE_BESIDE_POPCOUNT = 0.78
#: ... the columns of the convolution, ...
_LEAST_WIDTH = 32
#: ... and, as the most and not the least, the channels for each bit of a level. Popcount takes its time for each word
#: of 32 channels, this kernel for each four channels.
_CHANNELS_A_BIT = 12


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


def takes(layer: QuantizedLayer, read: MapLayout, write: MapLayout) -> bool:
    """Whether the kernel can run this layer, and sooner than those of the families after it."""
    if not fits(layer, read, write):
        return False
    # A lookup serves 64 filters at once; where there are no more, most of its lanes are idle.
    if layer.convolution.filters > LOOKUP_FILTERS and lookup.takes(layer, read, write):
        return False
    bits, width = layer.input_bits, layer.convolved(read.shape).width
    share = width / (PIXELS * vectors(width))
    if not COUNTS_WORDS:
        return share * bits > _LEAST_SHARE
    few = layer.convolution.input.channels <= _CHANNELS_A_BIT * bits
    return bits > 1 and few and width >= _LEAST_WIDTH and share > _LEAST_SHARE_BESIDE_POPCOUNT


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
