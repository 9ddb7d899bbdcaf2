"""The first layer's kernels: from the bytes of an image to bit planes.

Popcount would need eight planes for the image. Where the first convolution is 3x3 with a 2x2 pool, as in YOLO, sums of
bytes are quicker. Here a vector's lanes are pixels of a row, int16. The three taps of one row of a filter, in one
channel, are +-(l + m + r), +-(l + m - r), +-(l - m + r) or +-(l - m - r): the four sums ("patterns") are made once for
each row of the image, and a filter adds or subtracts nine of them.

``pack_image`` makes the eight planes for first layers of any other shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels_cache import inlined, kernel
from tinier_yolo.runtime.kernels_vectors import (
    Vector,
    add_shorts,
    copy_sixteen,
    neighbour_maximum,
    short_maximum,
    short_zeros,
    split_three,
    store_shorts,
    subtract_shorts,
    toggle_above,
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

_ROW_SIZE = CHANNELS * PATTERNS * COLUMNS


@kernel
def convolve_image(
    image: Bytes,
    terms: Int32,
    signs: Int32,
    thresholds: Int16,
    flips: Bytes,
    target: Bytes,
    plane: int,
    planes: int,
    origin: int,
    row_bytes: int,
    first: int,
    last: int,
) -> None:
    """3x3 convolution with padding 1, 2x2 max pool and thresholds: blocks ``first`` to ``last`` of ROWS rows.

    Args:
        image: uint8 (height, width, CHANNELS); height a multiple of ROWS, width of COLUMNS.
        terms: (filters, TERMS): where the pattern of each term lies, from its row of patterns.
        signs: (filters, TERMS): 0 or -1.
        thresholds: (filters, 2^planes - 1).
        flips: a bit for each filter.
        target: the output map; ``plane`` bytes from plane to plane, ``row_bytes`` from row to row.
        plane: see ``target``.
        planes: bits of an output level.
        origin: the byte offset of the output's first cell in a plane.
        row_bytes: see ``target``.
        first: the first block.
        last: the block after the last one.
    """
    # No slices in the loops: each would count references, with an atomic instruction.
    width = image.shape[1]
    step = 1 + width + 1
    samples = np.zeros((ROWS + 2) * CHANNELS * step + COLUMNS, np.int16)
    patterns = np.empty((ROWS + 2) * _ROW_SIZE + COLUMNS, np.int16)
    patterns = patterns[(-patterns.ctypes.data & 63) // 2 :]  # No vector straddles two cache lines.
    bits = np.empty(planes * 32, np.uint8)
    for block in range(first, last):
        _split_channels(image, block * ROWS - 1, samples, step)
        for left in range(0, width, COLUMNS):
            _make_patterns(samples, left, step, patterns)
            for row in range(0, ROWS, 4):
                cell = origin + (block * ROWS + row) // 2 * row_bytes + left // 2 * flips.size
                for byte in range(flips.size):
                    bits[:] = flips[byte]
                    for f in range(8 * byte, min(8 * byte + 8, len(terms))):
                        best = _pooled_sums(patterns, row * _ROW_SIZE, terms, signs, f)
                        _toggle(bits, best, thresholds, f)
                    for p in range(planes):
                        place = p * plane + cell + byte
                        _store_row(bits, 32 * p, target, place, flips.size, width)
                        _store_row(bits, 32 * p + 16, target, place + row_bytes, flips.size, width)


@inlined
def _split_channels(image: Bytes, top: int, samples: Int16, step: int) -> None:
    # ROWS + 2 rows of the image from row `top` on, [row][channel][1 + column]; outside the image all is 0.
    height, width, _ = image.shape
    pixels = image.reshape(-1)
    for row in range(ROWS + 2):
        y, start = top + row, row * CHANNELS * step + 1
        if 0 <= y < height:
            for x in range(0, width, COLUMNS):
                split_three(pixels, (y * width + x) * CHANNELS, samples, start + x, step)
        else:
            samples[start : start + CHANNELS * step - 1] = 0


@inlined
def _make_patterns(samples: Int16, left: int, step: int, patterns: Int16) -> None:
    # [row and channel][pattern][column] of the columns from `left` on.
    for line in range((ROWS + 2) * CHANNELS):
        at, to = line * step + left, line * PATTERNS * COLUMNS
        one = add_shorts(short_zeros(), samples, at)
        plus, minus = add_shorts(one, samples, at + 1), subtract_shorts(one, samples, at + 1)
        store_shorts(patterns, to, add_shorts(plus, samples, at + 2))
        store_shorts(patterns, to + COLUMNS, subtract_shorts(plus, samples, at + 2))
        store_shorts(patterns, to + 2 * COLUMNS, add_shorts(minus, samples, at + 2))
        store_shorts(patterns, to + 3 * COLUMNS, subtract_shorts(minus, samples, at + 2))


@inlined
def _pooled_sums(patterns: Int16, start: int, terms: Int32, signs: Int32, f: int) -> Vector:
    # The sums of filter f in four rows of 32 columns, pooled to two rows of 16.
    v0, v1, v2, v3 = short_zeros(), short_zeros(), short_zeros(), short_zeros()
    for t in range(TERMS):
        at, sign = start + terms[f, t], signs[f, t]
        if sign == 0:
            v0 = add_shorts(v0, patterns, at)
            v1 = add_shorts(v1, patterns, at + _ROW_SIZE)
            v2 = add_shorts(v2, patterns, at + 2 * _ROW_SIZE)
            v3 = add_shorts(v3, patterns, at + 3 * _ROW_SIZE)
        else:
            v0 = subtract_shorts(v0, patterns, at)
            v1 = subtract_shorts(v1, patterns, at + _ROW_SIZE)
            v2 = subtract_shorts(v2, patterns, at + 2 * _ROW_SIZE)
            v3 = subtract_shorts(v3, patterns, at + 3 * _ROW_SIZE)
    return neighbour_maximum(short_maximum(v0, v1), short_maximum(v2, v3))


@inlined
def _toggle(bits: Bytes, best: Vector, thresholds: Int16, f: int) -> None:
    # The i-th comparison changes the planes whose 2^p divides i; bits are [plane][32].
    for i in range(thresholds.shape[1]):
        p = 0
        while (i + 1) & ((1 << p) - 1) == 0:
            toggle_above(bits, 32 * p, best, thresholds[f, i], 1 << (f & 7))
            p += 1


@inlined
def _store_row(bits: Bytes, start: int, target: Bytes, place: int, step: int, width: int) -> None:
    # Sixteen bytes of bits to sixteen cells of the map, `step` bytes apart.
    if step == 1:
        copy_sixteen(bits, start, target, place)
    else:
        for i in range(min(16, width)):  # A width is more than 16. Were LLVM to know it, it would keep 16 pointers.
            target[place + i * step] = bits[start + i]


@kernel
def pack_image(image: Bytes, target: Bytes, plane: int, cells: Int32, first: int, last: int) -> None:
    """Eight bit planes of rows ``first`` to ``last`` of an image; ``cells`` are the offsets of all its pixels."""
    _, width, channels = image.shape
    for row in range(first, last):
        for column in range(width):
            cell = cells[row * width + column]
            for start in range(0, channels, 8):
                for p in range(8):
                    bits = 0
                    for channel in range(start, min(start + 8, channels)):
                        bits |= ((image[row, column, channel] >> p) & 1) << (channel - start)
                    target[p * plane + cell + start // 8] = bits
