"""The fast twin of ``reference``: the same integers from packed bits. Read the layout here; ``packing`` builds it.

These kernels run any layer. ``kernels_image`` is for the first one, ``kernels_rows`` for narrow ones on large maps,
``kernels_lookup`` for wide ones; ``steps`` chooses.

**Sums without multiplication.** A level q of k bits is bit planes x_p; a weight is a bit w, 1 for +1. With n = 2^k - 1
and B the filter's number of +1 weights, the accumulator is

    a = sum s * q = n * B - S,   S = sum_p 2^p popcount(w ^ x_p)

Padding is x = 0, which needs no term of its own, and bits that pad a word are 0 in both. So  a > T  <=>  S < n * B - T:
the constants go into the thresholds ("bounds"), and the max pool over a is the min over S. S is summed from the highest
plane down, doubling before each plane.

**Maps** are bytes ``[plane][row][column][channel / 8]`` with a border of zeros as wide as the padding of the
convolution that reads them; channel c is bit c % 8. The bits under one row of a kernel are then contiguous, whatever
the number of channels: they are read as 32-bit words at any alignment, the ones that are not whole under a mask.

**Weights** are ``[filter / 16][word][16]`` int32: a vector's lanes are 16 filters, and one word of the map is compared
with all of them. Lanes stay full however small the map is, and comparing S with the bounds of 16 filters gives 16 bits
of the next map as they are stored. Four windows share each load of weights: the four of a 2x2 max pool, or any four.
Machines without a popcount of words add up bytes, in bursts that a byte can hold.

**Levels from comparisons.** m_i, i = 1..n, says whether S is below the i-th bound, so level = sum m_i, and m_i falls
from 1 to 0 once. Bit p of the level changes at each multiple of 2^p: it is the xor of the m_i with i divisible by 2^p.
``toggles[i]`` has ones 16 bits apart, one for each plane that m_i is in: one product and one xor serve all planes. A
negative scale reverses the level, n - level: all its bits, one more xor ("flips").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel
from tinier_yolo.runtime.kernels.popcount.vectors import (
    BURST,
    add_mismatches,
    begin_burst,
    below,
    end_burst,
    multiply_add,
)
from tinier_yolo.runtime.kernels.vectors import (
    INT32X16,
    Vector,
    add,
    item,
    load,
    load_unaligned,
    minimum,
    store,
    store_unaligned,
    zeros,
)

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

_ALL_BITS = np.uint32(0xFFFFFFFF)


@inlined
def _four_sums(
    source: Bytes,
    plane: int,
    planes: int,
    windows: Int32,
    weights: Int32,
    taps: Int32,
    whole: int,
    mask: np.uint32,
    quad: int,
    group: int,
) -> tuple[Vector, Vector, Vector, Vector]:
    # S of windows 4 * quad to 4 * quad + 3 for the 16 filters of a group.
    top = (planes - 1) * plane
    at = (
        top + item(windows, 4 * quad),
        top + item(windows, 4 * quad + 1),
        top + item(windows, 4 * quad + 2),
        top + item(windows, 4 * quad + 3),
    )
    s = (zeros(INT32X16), zeros(INT32X16), zeros(INT32X16), zeros(INT32X16))
    first = group * taps.size
    for _ in range(planes):
        s = (add(s[0], s[0]), add(s[1], s[1]), add(s[2], s[2]), add(s[3], s[3]))
        for begin in range(0, whole, BURST):
            s = _burst(s, source, at, weights, first, taps, begin, min(begin + BURST, whole), _ALL_BITS)
        # The words that are not whole are one for each row of the kernel, and so no more than a burst.
        s = _burst(s, source, at, weights, first, taps, whole, taps.size, mask)
        at = (at[0] - plane, at[1] - plane, at[2] - plane, at[3] - plane)
    return s


@inlined
def _burst(
    s: tuple[Vector, Vector, Vector, Vector],
    source: Bytes,
    at: tuple[int, int, int, int],
    weights: Int32,
    first: int,
    taps: Int32,
    begin: int,
    end: int,
    mask: np.uint32,
) -> tuple[Vector, Vector, Vector, Vector]:
    c0, c1, c2, c3 = begin_burst(s[0]), begin_burst(s[1]), begin_burst(s[2]), begin_burst(s[3])
    for i in range(begin, end):
        w, tap = load(INT32X16, weights, (first + i) * 16), item(taps, i)
        c0 = add_mismatches(c0, w, source, at[0] + tap, mask)
        c1 = add_mismatches(c1, w, source, at[1] + tap, mask)
        c2 = add_mismatches(c2, w, source, at[2] + tap, mask)
        c3 = add_mismatches(c3, w, source, at[3] + tap, mask)
    return end_burst(s[0], c0), end_burst(s[1], c1), end_burst(s[2], c2), end_burst(s[3], c3)


@inlined
def _store_levels(target: Bytes, offset: int, plane: int, planes: int, bits: np.uint64, pair: bool) -> None:
    # `bits` holds 16 filters for each plane, lowest plane first. Not a pair: the layer's last group fills one byte.
    for _ in range(planes):
        if pair:
            store_unaligned(target, offset, np.uint16(bits))
        else:
            target[offset] = bits & np.uint64(255)
        bits >>= np.uint64(16)
        offset += plane


@kernel
def convolve_pool(
    source: Bytes,
    source_plane: int,
    source_planes: int,
    windows: Int32,
    weights: Int32,
    taps: Int32,
    whole: int,
    mask: np.uint32,
    bounds: Int32,
    toggles: Words,
    flips: Words,
    target: Bytes,
    target_plane: int,
    target_planes: int,
    channel_bytes: int,
    cells: Int32,
    first: int,
    last: int,
) -> None:
    """Convolution, 2x2 max pool, thresholds: cells ``first`` to ``last`` of the pooled map.

    Args:
        source: the input map; ``source_plane`` bytes from plane to plane.
        source_plane: see ``source``.
        source_planes: bits of an input level.
        windows: the byte offsets, in a plane, of the four convolution windows that each cell pools.
        weights: [group][tap][16 filters].
        taps: the byte offset of each word of weights from its window's; the first ``whole`` are whole words.
        whole: see ``taps``.
        mask: the bits that count in the other words, uint32.
        bounds: [group][n][16]: level = how many of its filter's n bounds S is below.
        toggles: for each bound, the planes that it changes.
        flips: [group]: ones where the level is reversed.
        target: the output map.
        target_plane: see ``source``.
        target_planes: bits of an output level.
        channel_bytes: bytes of one cell in one plane of the output map.
        cells: the byte offset, in a plane, of each cell of the output map.
        first: the first cell to compute.
        last: the cell after the last one.
    """
    for group in range(flips.size):
        pair = 2 * group + 1 < channel_bytes
        for cell in range(first, last):
            s0, s1, s2, s3 = _four_sums(
                source, source_plane, source_planes, windows, weights, taps, whole, mask, cell, group
            )
            least = minimum(minimum(s0, s1), minimum(s2, s3))
            bits = item(flips, group)
            for i in range(toggles.size):
                bits ^= below(least, load(INT32X16, bounds, (group * toggles.size + i) * 16)) * item(toggles, i)
            _store_levels(target, item(cells, cell) + 2 * group, target_plane, target_planes, bits, pair)


@kernel
def convolve(
    source: Bytes,
    source_plane: int,
    source_planes: int,
    windows: Int32,
    weights: Int32,
    taps: Int32,
    whole: int,
    mask: np.uint32,
    bounds: Int32,
    toggles: Words,
    flips: Words,
    target: Bytes,
    target_plane: int,
    target_planes: int,
    channel_bytes: int,
    cells: Int32,
    first: int,
    last: int,
) -> None:
    """Convolution and thresholds: the cells of quads ``first`` to ``last``, four cells to a quad.

    The arguments are those of :func:`convolve_pool`, with one window and one cell for each of a quad's four places.
    """
    for group in range(flips.size):
        pair = 2 * group + 1 < channel_bytes
        for quad in range(first, last):
            s0, s1, s2, s3 = _four_sums(
                source, source_plane, source_planes, windows, weights, taps, whole, mask, quad, group
            )
            bits0 = bits1 = bits2 = bits3 = item(flips, group)
            for i in range(toggles.size):
                bound, toggle = load(INT32X16, bounds, (group * toggles.size + i) * 16), item(toggles, i)
                bits0 ^= below(s0, bound) * toggle
                bits1 ^= below(s1, bound) * toggle
                bits2 ^= below(s2, bound) * toggle
                bits3 ^= below(s3, bound) * toggle
            _store_levels(target, item(cells, 4 * quad) + 2 * group, target_plane, target_planes, bits0, pair)
            _store_levels(target, item(cells, 4 * quad + 1) + 2 * group, target_plane, target_planes, bits1, pair)
            _store_levels(target, item(cells, 4 * quad + 2) + 2 * group, target_plane, target_planes, bits2, pair)
            _store_levels(target, item(cells, 4 * quad + 3) + 2 * group, target_plane, target_planes, bits3, pair)


@kernel
def convolve_affine(
    source: Bytes,
    source_plane: int,
    source_planes: int,
    windows: Int32,
    weights: Int32,
    taps: Int32,
    whole: int,
    mask: np.uint32,
    multipliers: Int32,
    biases: Int32,
    target: Int32,
    first: int,
    last: int,
) -> None:
    """The last convolution: multiplier * S + bias, int32 [cell][filter], for quads ``first`` to ``last``.

    The arguments are those of :func:`convolve`; multipliers and biases are padded to whole groups of 16, and so are
    the filters of the target, which has a place for every window.
    """
    width = multipliers.size
    for group in range(width // 16):
        multiplier, bias = load(INT32X16, multipliers, group * 16), load(INT32X16, biases, group * 16)
        for quad in range(first, last):
            s0, s1, s2, s3 = _four_sums(
                source, source_plane, source_planes, windows, weights, taps, whole, mask, quad, group
            )
            place = 4 * quad * width + group * 16
            store(target, place, multiply_add(multiplier, s0, bias))
            store(target, place + width, multiply_add(multiplier, s1, bias))
            store(target, place + 2 * width, multiply_add(multiplier, s2, bias))
            store(target, place + 3 * width, multiply_add(multiplier, s3, bias))


@kernel
def pool(
    source: Bytes,
    source_plane: int,
    planes: int,
    windows: Int32,
    size: int,
    flips: Bytes,
    target: Bytes,
    target_plane: int,
    cells: Int32,
    first: int,
    last: int,
) -> None:
    """Max pool of a map of levels that are not reversed yet, then the flips: cells ``first`` to ``last``.

    From the highest plane down: the maximum has a bit where a candidate has it, and candidates without it drop out.
    ``windows`` holds the offsets of ``size`` input cells for each output cell, ``flips`` a bit for each channel.
    """
    candidates = np.empty(size, np.uint64)
    width = flips.size
    step = 8 if width >= 8 else 1
    for cell in range(first, last):
        for start in range(0, width, step):
            # The last word of a row steps back over bytes already done; doing them twice changes nothing.
            byte = min(start, width - step)
            flip = load_unaligned(np.uint64, flips, byte) if step == 8 else np.uint64(flips[byte])
            place = cells[cell] + byte
            if size == 4:
                _pool_four(source, source_plane, planes, windows, cell, byte, step, flip, target, target_plane, place)
                continue
            candidates[:] = ~np.uint64(0)
            for plane in range(planes - 1, -1, -1):
                found = np.uint64(0)
                for i in range(size):
                    found |= candidates[i] & _word(source, plane * source_plane + windows[cell * size + i] + byte, step)
                for i in range(size):
                    word = _word(source, plane * source_plane + windows[cell * size + i] + byte, step)
                    candidates[i] &= word | ~found
                store_part(target, plane * target_plane + place, found ^ flip, step)


@inlined
def _pool_four(
    source: Bytes,
    source_plane: int,
    planes: int,
    windows: Int32,
    cell: int,
    byte: int,
    step: int,
    flip: np.uint64,
    target: Bytes,
    target_plane: int,
    place: int,
) -> None:
    # The usual size, with the candidates in registers.
    at = (
        item(windows, 4 * cell) + byte,
        item(windows, 4 * cell + 1) + byte,
        item(windows, 4 * cell + 2) + byte,
        item(windows, 4 * cell + 3) + byte,
    )
    c0 = c1 = c2 = c3 = ~np.uint64(0)
    for plane in range(planes - 1, -1, -1):
        begin = plane * source_plane
        w0, w1 = _word(source, begin + at[0], step), _word(source, begin + at[1], step)
        w2, w3 = _word(source, begin + at[2], step), _word(source, begin + at[3], step)
        found = c0 & w0 | c1 & w1 | c2 & w2 | c3 & w3
        c0, c1, c2, c3 = c0 & (w0 | ~found), c1 & (w1 | ~found), c2 & (w2 | ~found), c3 & (w3 | ~found)
        store_part(target, plane * target_plane + place, found ^ flip, step)


@inlined
def store_part(target: Bytes, offset: int, word: np.uint64, size: int) -> None:
    """target[offset : offset + size] = the low bytes of a word."""
    if size == 8:
        store_unaligned(target, offset, word)
    else:
        for byte in range(size):
            target[offset + byte] = word >> np.uint64(8 * byte) & np.uint64(255)


@inlined
def _word(source: Bytes, offset: int, size: int) -> np.uint64:
    word: np.uint64 = load_unaligned(np.uint64, source, offset) if size == 8 else np.uint64(source[offset])
    return word
