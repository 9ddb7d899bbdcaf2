"""The first layer's kernels: from the bytes of an image to bit planes.

Popcount would need eight planes for the image. Where the first convolution is 3x3 with a 2x2 pool, as in YOLO, sums of
bytes are quicker. Here a vector's lanes are pixels of a row, int16. The three taps of one row of a filter, in one
channel, are +-(l + m + r), +-(l + m - r), +-(l - m + r) or +-(-l + m + r): the four sums ("patterns") are made once for
each row of the image, and a filter adds up 3 * channels of them with their signs. x ^ -1 is -x - 1: the ones that this
takes away too many are in the thresholds.

``pack_image`` makes the eight planes for first layers of any other shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels_cache import inlined, kernel
from tinier_yolo.runtime.kernels_vectors import (
    add_signed,
    neighbour_maximum,
    short_maximum,
    short_zeros,
    toggle_above,
)

Bytes = NDArray[np.uint8]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

#: Rows and columns of the convolution that are done at once, so that their patterns stay in the L1 cache.
BLOCK_ROWS = 8
STRIP = 64
PATTERNS = 4
#: Rows and columns must be multiples of these.
ROWS = BLOCK_ROWS
COLUMNS = 32


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
    """3x3 convolution with padding 1, 2x2 max pool and thresholds: blocks ``first`` to ``last`` of BLOCK_ROWS rows.

    Args:
        image: uint8 (height, width, channels); height a multiple of ROWS, width of COLUMNS.
        terms: (filters, 3 * channels): where the pattern of each term lies, from its row of patterns.
        signs: (filters, 3 * channels): 0 or -1.
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
    width, channels = image.shape[1], image.shape[2]
    row_size = channels * PATTERNS * STRIP
    patterns = np.empty((BLOCK_ROWS + 2) * row_size, np.int16)
    samples = np.empty(STRIP + 2, np.int16)
    bits = np.empty(planes * 32, np.uint8)
    for block in range(first, last):
        for left in range(0, width, STRIP):
            for row in range(BLOCK_ROWS + 2):
                made = patterns[row * row_size : (row + 1) * row_size]
                _make_patterns(image, block * BLOCK_ROWS + row - 1, left, samples, made)
            for row in range(0, BLOCK_ROWS, 4):
                for column in range(0, min(STRIP, width - left), 32):
                    corner = row * row_size + column
                    cell = origin + (block * BLOCK_ROWS + row) // 2 * row_bytes + (left + column) // 2 * flips.size
                    for byte in range(flips.size):
                        bits[:] = flips[byte]
                        for f in range(8 * byte, min(8 * byte + 8, len(terms))):
                            _filter(patterns, corner, row_size, terms[f], signs[f], thresholds[f], bits, 1 << f % 8)
                        _store(target, cell + byte, plane, planes, row_bytes, flips.size, bits)


@inlined
def _filter(
    patterns: Int16, corner: int, row_size: int, terms: Int32, signs: Int32, thresholds: Int16, bits: Bytes, bit: int
) -> None:
    # Toggles one filter's bit in four rows of 32 columns, which the pool makes two rows of 16: 32 bytes a plane.
    v0, v1, v2, v3 = short_zeros(), short_zeros(), short_zeros(), short_zeros()
    for t in range(terms.size):
        term, sign = corner + terms[t], signs[t]
        v0 = add_signed(v0, patterns, term, sign)
        v1 = add_signed(v1, patterns, term + row_size, sign)
        v2 = add_signed(v2, patterns, term + 2 * row_size, sign)
        v3 = add_signed(v3, patterns, term + 3 * row_size, sign)
    best = neighbour_maximum(short_maximum(v0, v1), short_maximum(v2, v3))
    for i in range(thresholds.size):
        plane = 0
        while (i + 1) % (1 << plane) == 0:
            toggle_above(bits, 32 * plane, best, thresholds[i], bit)
            plane += 1


@inlined
def _store(target: Bytes, cell: int, plane: int, planes: int, row_bytes: int, step: int, bits: Bytes) -> None:
    for p in range(planes):
        for half in range(2):
            place = target[p * plane + cell + half * row_bytes :]
            for i in range(16):
                place[i * step] = bits[32 * p + 16 * half + i]


@inlined
def _make_patterns(image: Bytes, y: int, left: int, samples: Int16, patterns: Int16) -> None:
    # The patterns of one row of the image, [channel][pattern][column], from column `left` on; outside is 0.
    height, width, channels = image.shape
    if not 0 <= y < height:
        patterns[:] = 0
        return
    for channel in range(channels):
        begin, end = max(left - 1, 0), min(left + STRIP + 1, width)
        source = image[y, begin:end, channel]
        samples[:] = 0
        inside = samples[begin - (left - 1) :]
        for x in range(end - begin):
            inside[x] = source[x]
        made = patterns[channel * PATTERNS * STRIP :]
        for x in range(STRIP):
            l, m, r = samples[x], samples[x + 1], samples[x + 2]
            made[x] = l + m + r
            made[STRIP + x] = l + m - r
            made[2 * STRIP + x] = l - m + r
            made[3 * STRIP + x] = m + r - l


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
