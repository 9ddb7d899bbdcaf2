"""The kernels that count differing bits: they run any layer.

The package's docstring says what S, maps, bounds and flips are.

**Weights** are ``[filter / 16][word][16]`` int32: the lanes of a vector are 16 filters, and a word of the map is
compared with all of them at once. Lanes are in use however small the map is. The bits under a row of a window are read
as words of 32, at any alignment. What is left of them is less than a word, and is read under a mask.

**Quads.** Four windows share each load of weights: the four of a 2x2 max pool, or any four.

**Planes.** S is summed from the highest plane down, and doubled before each plane. Machines that cannot count the bits
of a word count those of bytes, and add up bytes in bursts of as many words as a byte can count.

**Levels.** Comparing S with a bound of 16 filters gives 16 bits. ``toggles`` has, for each bound, ones 16 bits apart:
one for each plane that the comparison changes. So one product and one xor apply a comparison to all planes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel, parallel_kernel
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
    minimum,
    store,
    store_unaligned,
    zeros,
)

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

_ALL_BITS = np.uint32(0xFFFFFFFF)


class Sums(NamedTuple):
    """What a kernel sums.

    Attributes:
        source: the input map, uint8.
        plane: bytes from plane to plane.
        planes: bits of a level.
        windows: int32, the byte offset of each window in a plane, four to a quad.
        weights: int32 [filter / 16][word][16].
        taps: int32, the byte offset of each word of weights from its window's; the first ``whole`` are whole words.
        whole: see ``taps``.
        mask: uint32, the bits that count in the other words.
    """

    source: Bytes
    plane: int
    planes: int
    windows: Int32
    weights: Int32
    taps: Int32
    whole: int
    mask: np.uint32


class Levels(NamedTuple):
    """What becomes of the sums of a quantised layer.

    Attributes:
        bounds: int32 [filter / 16][n][16]: level = how many of its filter's n bounds S is below.
        toggles: uint64, for each bound the planes that it changes.
        flips: uint64 [filter / 16]: ones where the level is reversed.
        target: the output map, uint8.
        plane: bytes from plane to plane.
        planes: bits of a level.
        cell: bytes of a cell in one plane.
        cells: int32, the byte offset of each cell in a plane.
    """

    bounds: Int32
    toggles: Words
    flips: Words
    target: Bytes
    plane: int
    planes: int
    cell: int
    cells: Int32


class Outputs(NamedTuple):
    """What becomes of the sums of the last layer: multiplier * S + bias.

    Attributes:
        multipliers: int32, padded to whole groups of 16 filters.
        biases: the same.
        target: int32 [cell][filter], with a place for every window and for all of the padded filters.
    """

    multipliers: Int32
    biases: Int32
    target: Int32


_FIELDS = len(Sums._fields)


@kernel
def convolve_pool(*arguments: Any) -> None:
    """Convolution, 2x2 max pool, thresholds: some cells of the pooled map.

    Args:
        *arguments: the fields of a ``Sums``, whose quads hold the four windows that a cell pools; those of a
            ``Levels``; the first cell to compute, and the cell after the last one.
    """
    sums, levels = Sums(*arguments[:_FIELDS]), Levels(*arguments[_FIELDS:-2])
    bounds = levels.toggles.size
    for group in range(levels.flips.size):
        for cell in range(arguments[-2], arguments[-1]):
            s0, s1, s2, s3 = _four_sums(sums, cell, group)
            least = minimum(minimum(s0, s1), minimum(s2, s3))
            bits = item(levels.flips, group)
            for i in range(bounds):
                bound = load(INT32X16, levels.bounds, (group * bounds + i) * 16)
                bits ^= below(least, bound) * item(levels.toggles, i)
            _store_levels(levels, cell, group, bits)


@parallel_kernel
def convolve_pool_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_pool`` of all cells, shared out among threads."""
    for t in numba.prange(threads):
        convolve_pool(*arguments, units * t // threads, units * (t + 1) // threads)


@kernel
def convolve(*arguments: Any) -> None:
    """Convolution and thresholds: the cells of some quads, four cells to a quad.

    The arguments are those of :func:`convolve_pool`, with a cell for each of a quad's four windows.
    """
    sums, levels = Sums(*arguments[:_FIELDS]), Levels(*arguments[_FIELDS:-2])
    bounds = levels.toggles.size
    for group in range(levels.flips.size):
        for quad in range(arguments[-2], arguments[-1]):
            s0, s1, s2, s3 = _four_sums(sums, quad, group)
            bits0 = bits1 = bits2 = bits3 = item(levels.flips, group)
            for i in range(bounds):
                bound = load(INT32X16, levels.bounds, (group * bounds + i) * 16)
                toggle = item(levels.toggles, i)
                bits0 ^= below(s0, bound) * toggle
                bits1 ^= below(s1, bound) * toggle
                bits2 ^= below(s2, bound) * toggle
                bits3 ^= below(s3, bound) * toggle
            _store_levels(levels, 4 * quad, group, bits0)
            _store_levels(levels, 4 * quad + 1, group, bits1)
            _store_levels(levels, 4 * quad + 2, group, bits2)
            _store_levels(levels, 4 * quad + 3, group, bits3)


@parallel_kernel
def convolve_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve`` of all quads, shared out among threads."""
    for t in numba.prange(threads):
        convolve(*arguments, units * t // threads, units * (t + 1) // threads)


@kernel
def convolve_affine(*arguments: Any) -> None:
    """The last convolution: multiplier * S + bias, for some quads.

    Args:
        *arguments: the fields of a ``Sums``; those of an ``Outputs``; the first quad, and the quad after the last one.
    """
    sums, outputs = Sums(*arguments[:_FIELDS]), Outputs(*arguments[_FIELDS:-2])
    width = outputs.multipliers.size
    for group in range(width // 16):
        multiplier, bias = load(INT32X16, outputs.multipliers, group * 16), load(INT32X16, outputs.biases, group * 16)
        for quad in range(arguments[-2], arguments[-1]):
            s0, s1, s2, s3 = _four_sums(sums, quad, group)
            place = 4 * quad * width + group * 16
            store(outputs.target, place, multiply_add(multiplier, s0, bias))
            store(outputs.target, place + width, multiply_add(multiplier, s1, bias))
            store(outputs.target, place + 2 * width, multiply_add(multiplier, s2, bias))
            store(outputs.target, place + 3 * width, multiply_add(multiplier, s3, bias))


@parallel_kernel
def convolve_affine_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_affine`` of all quads, shared out among threads."""
    for t in numba.prange(threads):
        convolve_affine(*arguments, units * t // threads, units * (t + 1) // threads)


@inlined
def _four_sums(sums: Sums, quad: int, group: int) -> tuple[Vector, Vector, Vector, Vector]:
    # S of a quad's windows for the 16 filters of a group.
    top = (sums.planes - 1) * sums.plane
    at = (
        top + item(sums.windows, 4 * quad),
        top + item(sums.windows, 4 * quad + 1),
        top + item(sums.windows, 4 * quad + 2),
        top + item(sums.windows, 4 * quad + 3),
    )
    s = (zeros(INT32X16), zeros(INT32X16), zeros(INT32X16), zeros(INT32X16))
    words = sums.taps.size
    for _ in range(sums.planes):
        s = (add(s[0], s[0]), add(s[1], s[1]), add(s[2], s[2]), add(s[3], s[3]))
        for begin in range(0, sums.whole, BURST):
            s = _burst(s, sums, at, group, begin, min(begin + BURST, sums.whole), _ALL_BITS)
        # The words that are not whole are one for each row of the kernel, and so no more than a burst.
        s = _burst(s, sums, at, group, sums.whole, words, sums.mask)
        at = (at[0] - sums.plane, at[1] - sums.plane, at[2] - sums.plane, at[3] - sums.plane)
    return s


@inlined
def _burst(
    s: tuple[Vector, Vector, Vector, Vector],
    sums: Sums,
    at: tuple[int, int, int, int],
    group: int,
    begin: int,
    end: int,
    mask: np.uint32,
) -> tuple[Vector, Vector, Vector, Vector]:
    first = group * sums.taps.size
    c0, c1, c2, c3 = begin_burst(s[0]), begin_burst(s[1]), begin_burst(s[2]), begin_burst(s[3])
    for i in range(begin, end):
        w, tap = load(INT32X16, sums.weights, (first + i) * 16), item(sums.taps, i)
        c0 = add_mismatches(c0, w, sums.source, at[0] + tap, mask)
        c1 = add_mismatches(c1, w, sums.source, at[1] + tap, mask)
        c2 = add_mismatches(c2, w, sums.source, at[2] + tap, mask)
        c3 = add_mismatches(c3, w, sums.source, at[3] + tap, mask)
    return end_burst(s[0], c0), end_burst(s[1], c1), end_burst(s[2], c2), end_burst(s[3], c3)


@inlined
def _store_levels(levels: Levels, cell: int, group: int, bits: np.uint64) -> None:
    # `bits` holds 16 filters for each plane, lowest plane first. The layer's last group may fill one byte only.
    offset = item(levels.cells, cell) + 2 * group
    pair = 2 * group + 1 < levels.cell
    for _ in range(levels.planes):
        if pair:
            store_unaligned(levels.target, offset, np.uint16(bits))
        else:
            levels.target[offset] = bits & np.uint64(255)
        bits >>= np.uint64(16)
        offset += levels.plane
