"""The first layer's kernels: from the bytes of an image to bit planes.

Popcount would need eight planes for the image. Where the first convolution is 3x3 with a 2x2 pool, as in YOLO, sums of
bytes are quicker. Here a vector's lanes are pixels of a row, int16. The three taps of one row of a filter, in one
channel, are +-(l + m + r), +-(l + m - r), +-(l - m + r) or +-(l - m - r): the four sums ("patterns") are made once for
each row of the image, and a filter adds or subtracts nine of them. Loading those is most of the work.

``pack_image`` makes the eight planes for first layers of any other shape.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel, parallel_kernel
from tinier_yolo.runtime.kernels.image.vectors import (
    count_above,
    fill_zeros,
    neighbour_maximum,
    plane_bytes,
    split_three,
    store_apart,
    store_bytes,
    store_pairs,
    widen,
)
from tinier_yolo.runtime.kernels.vectors import (
    INT8X32,
    INT16X32,
    Pointer,
    Vector,
    add,
    aligned_pointer,
    exclusive_or,
    item,
    keep,
    load,
    load_unaligned,
    maximum,
    pointer,
    splat,
    store,
    subtract,
    zeros,
)

Bytes = NDArray[np.uint8]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

#: Rows and columns of the convolution that are done at once: their patterns stay in the L1 cache.
ROWS = 16
COLUMNS = 32
#: Images of three channels only: a loop that is unrolled takes half the time.
CHANNELS = 3
TERMS = 3 * CHANNELS
PATTERNS = 4

#: Rows of the convolution whose sums are in registers at once.
_GROUP = 4
_ROW_SIZE = CHANNELS * PATTERNS * COLUMNS
_LINES = (ROWS + 2) * CHANNELS
#: Bytes before each line of samples: zeros for the neighbour on the left, and then aligned vectors.
_LEAD = 64
#: Levels of four filters stand in the nibbles of an int16, those of eight in two vectors.
_NIBBLES = 4
_HALVES = 8 // _NIBBLES


class Filters(NamedTuple):
    """The layer.

    Attributes:
        terms: int32 (filters, TERMS): where the pattern of each term lies, from its row of patterns; ~where to
            subtract it.
        thresholds: int16 (filters, 2^planes - 1).
        flips: uint8, a bit for each filter.
    """

    terms: Int32
    thresholds: Int16
    flips: Bytes


class Target(NamedTuple):
    """The output map.

    Attributes:
        data: its bytes.
        plane: bytes from plane to plane.
        planes: bits of a level.
        row: bytes from row to row.
        origin: the byte offset of the first cell in a plane.
    """

    data: Bytes
    plane: int
    planes: int
    row: int
    origin: int


_FIELDS = len(Filters._fields)


@kernel
def convolve_image(image: Bytes, *arguments: Any) -> None:
    """3x3 convolution with padding 1, 2x2 max pool and thresholds: some blocks of ROWS rows.

    Args:
        image: uint8 (height, width, CHANNELS); height a multiple of ROWS, width of COLUMNS.
        *arguments: the fields of a ``Filters``, those of a ``Target``, the first block, and the block after the last.
    """
    filters, target = Filters(*arguments[:_FIELDS]), Target(*arguments[_FIELDS:-2])
    height, width, _ = image.shape
    cell_bytes, step = filters.flips.size, _LEAD + width
    sample_array = np.zeros(_LINES * step + 2 * _LEAD, np.uint8)
    pattern_array = np.empty((_LINES * PATTERNS + 1) * COLUMNS, np.int16)
    level_array = np.empty((_HALVES * cell_bytes + 1) * COLUMNS, np.int16)
    samples, patterns = aligned_pointer(sample_array), aligned_pointer(pattern_array)
    levels = aligned_pointer(level_array)
    pointers = (pointer(filters.terms), pointer(filters.thresholds), pointer(filters.flips))
    layer = (*pointers, len(filters.terms), filters.thresholds.shape[1], cell_bytes)
    for block in range(arguments[-2], arguments[-1]):
        _split_channels(image, block * ROWS - 1, samples, step)
        for left in range(0, width, COLUMNS):
            _make_patterns(samples, left, step, patterns, 0, 2)
            for row in range(0, min(ROWS, height), _GROUP):  # Did LLVM know that it is ROWS, it would unroll and spill.
                _make_patterns(samples, left, step, patterns, row + 2, row + 2 + _GROUP)
                _make_levels(patterns, row * _ROW_SIZE, layer, levels)
                cell = target.origin + (block * ROWS + row) // 2 * target.row + left // 2 * cell_bytes
                for p in range(target.planes):
                    _store_plane(levels, p, layer, pointer(target.data), p * target.plane + cell, target.row)
    keep(sample_array)
    keep(pattern_array)
    keep(level_array)


@parallel_kernel
def convolve_image_parallel(threads: int, units: int, image: Bytes, *arguments: Any) -> None:
    """``convolve_image`` of all blocks, shared out among threads."""
    for t in numba.prange(threads):
        convolve_image(image, *arguments, units * t // threads, units * (t + 1) // threads)


@inlined
def _split_channels(image: Bytes, top: int, samples: Pointer, step: int) -> None:
    # ROWS + 2 rows of the image from row `top` on, [row][channel][_LEAD + column]; outside the image all is 0.
    height, width, _ = image.shape
    pixels = pointer(image)
    for row in range(ROWS + 2):
        y, start = top + row, row * CHANNELS * step + _LEAD
        if 0 <= y < height:
            for x in range(0, width, COLUMNS):
                split_three(pixels, (y * width + x) * CHANNELS, samples, start + x, step)
        else:
            fill_zeros(samples, start, CHANNELS * step)


@inlined
def _make_patterns(samples: Pointer, left: int, step: int, patterns: Pointer, first: int, last: int) -> None:
    # [row and channel][pattern][column] of rows `first` to `last` and the columns from `left` on.
    for line in range(first * CHANNELS, last * CHANNELS):
        at, to = line * step + _LEAD + left, line * PATTERNS * COLUMNS
        one, middle, other = _load_samples(samples, at - 1), _load_samples(samples, at), _load_samples(samples, at + 1)
        plus, minus = add(one, middle), subtract(one, middle)
        store(patterns, to, add(plus, other))
        store(patterns, to + COLUMNS, subtract(plus, other))
        store(patterns, to + 2 * COLUMNS, add(minus, other))
        store(patterns, to + 3 * COLUMNS, subtract(minus, other))


@inlined
def _load_samples(samples: Pointer, at: int) -> Vector:
    return widen(load_unaligned(INT8X32, samples, at))


@inlined
def _make_levels(patterns: Pointer, start: int, layer: tuple[Any, ...], levels: Pointer) -> None:
    # The pooled levels of four rows: [filter / 4][cell], a nibble for each filter.
    terms, thresholds, _, filters, number, cell_bytes = layer
    for half in range(_HALVES * cell_bytes):
        counts = zeros(INT16X32)
        for f in range(half * _NIBBLES, min((half + 1) * _NIBBLES, filters)):
            best = _pooled_sums(patterns, start, terms, f * TERMS)
            unit = 1 << 4 * (f & (_NIBBLES - 1))
            # A level is the number of thresholds below the sum, at most 15: nothing is carried out of its nibble.
            for i in range(f * number, (f + 1) * number):
                counts = count_above(counts, best, item(thresholds, i), unit)
        store(levels, half * COLUMNS, counts)


@inlined
def _pooled_sums(patterns: Pointer, start: int, terms: Pointer, first: int) -> Vector:
    # The sums of a filter in four rows of 32 columns, pooled: those of two rows of 16 cells, lane by lane in turn.
    v0, v1, v2, v3 = zeros(INT16X32), zeros(INT16X32), zeros(INT16X32), zeros(INT16X32)
    for t in range(first, first + TERMS):
        at = item(terms, t)
        if at >= 0:
            at += start
            v0 = add(v0, load(INT16X32, patterns, at))
            v1 = add(v1, load(INT16X32, patterns, at + _ROW_SIZE))
            v2 = add(v2, load(INT16X32, patterns, at + 2 * _ROW_SIZE))
            v3 = add(v3, load(INT16X32, patterns, at + 3 * _ROW_SIZE))
        else:
            at = start + ~at
            v0 = subtract(v0, load(INT16X32, patterns, at))
            v1 = subtract(v1, load(INT16X32, patterns, at + _ROW_SIZE))
            v2 = subtract(v2, load(INT16X32, patterns, at + 2 * _ROW_SIZE))
            v3 = subtract(v3, load(INT16X32, patterns, at + 3 * _ROW_SIZE))
    return neighbour_maximum(maximum(v0, v1), maximum(v2, v3))


@inlined
def _store_plane(levels: Pointer, p: int, layer: tuple[Any, ...], target: Pointer, place: int, row_bytes: int) -> None:
    # Plane p of two rows of sixteen cells.
    _, _, flips, _, _, cell_bytes = layer
    if cell_bytes == 1:
        store_bytes(target, place, row_bytes, _plane(levels, 0, p, flips))
    elif cell_bytes == 2:
        store_pairs(target, place, row_bytes, _plane(levels, 0, p, flips), _plane(levels, 1, p, flips))
    else:
        for byte in range(cell_bytes):
            store_apart(target, place + byte, row_bytes, cell_bytes, _plane(levels, byte, p, flips))


@inlined
def _plane(levels: Pointer, byte: int, p: int, flips: Pointer) -> Vector:
    # Plane p of eight filters: a byte in each lane.
    at = byte * _HALVES * COLUMNS
    bits = plane_bytes(load(INT16X32, levels, at), load(INT16X32, levels, at + COLUMNS), p)
    return exclusive_or(bits, splat(INT16X32, item(flips, byte)))


class Planes(NamedTuple):
    """An image's map of eight planes.

    Attributes:
        data: its bytes.
        plane: bytes from plane to plane.
        cells: int32, the byte offset of each pixel in a plane.
    """

    data: Bytes
    plane: int
    cells: Int32


@kernel
def pack_image(image: Bytes, *arguments: Any) -> None:
    """Eight bit planes of some rows of an image.

    Args:
        image: uint8 (height, width, channels).
        *arguments: the fields of a ``Planes``, the first row, and the row after the last one.
    """
    target = Planes(*arguments[:-2])
    _, width, channels = image.shape
    for row in range(arguments[-2], arguments[-1]):
        for column in range(width):
            cell = target.cells[row * width + column]
            for start in range(0, channels, 8):
                for p in range(8):
                    bits = 0
                    for channel in range(start, min(start + 8, channels)):
                        bits |= ((image[row, column, channel] >> p) & 1) << (channel - start)
                    target.data[p * target.plane + cell + start // 8] = bits


@parallel_kernel
def pack_image_parallel(threads: int, units: int, image: Bytes, *arguments: Any) -> None:
    """``pack_image`` of all rows, shared out among threads."""
    for t in numba.prange(threads):
        pack_image(image, *arguments, units * t // threads, units * (t + 1) // threads)
