"""The kernels of a fixed-point program: convolution, max pool, and the image as a map.

The values of a cell lie one after the other, and so do those of the cells of a row of a window. A convolution is
then, for each row of its window, a run of values times a run of weights. A step of it takes two values of some windows
and the weights of 32, 16 or 8 filters for these two; the sums stay in registers. Eight of these must be under way at
once: each waits four cycles for what was added before, and two can begin in a cycle. So four windows are summed
together where the filters of a block fill two registers, and eight where they fill one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel, parallel_kernel
from tinier_yolo.runtime.kernels.products.vectors import INT16X64, INT32X8, INT32X32, WIDE, add_products, requantize
from tinier_yolo.runtime.kernels.vectors import (
    INT16X16,
    INT16X32,
    INT32X16,
    Pointer,
    item,
    load_unaligned,
    maximum,
    pointer,
)

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

#: Windows of a quad, and quads of a unit of work.
QUAD = 4
UNIT_QUADS = 64


class Convolution(NamedTuple):
    """A layer, the map that it reads, and the map that it makes.

    Attributes:
        source: int16, the input map with its border of zeros.
        windows: int32 (4 * quads,): where each window begins.
        row: values from a row of the input map to the next.
        rows: rows of a window.
        pairs: pairs of values of such a row, the last one filled up with a weight of zero.
        weights: int16 [block of filters][row][pair][filter][2].
        offsets: int32 (filters,), where the sums begin.
        factor: what negative sums are multiplied by, in units of 2^-15.
        shift: by how many bits sums are shifted to the right.
        lowest, highest: the ends of the output's format.
        target: int16, the output map.
        cells: int32: where the output of each window begins, or, where four are pooled, of each quad.
        pooled: whether the output is the greatest of each quad.
        units: how many units of UNIT_QUADS quads there are for each block of filters.
    """

    source: Int16
    windows: Int32
    row: int
    rows: int
    pairs: int
    weights: Int16
    offsets: Int32
    factor: int
    shift: int
    lowest: int
    highest: int
    target: Int16
    cells: Int32
    pooled: bool
    units: int


@kernel
def convolve_32(*arguments: Any) -> None:
    """Blocks of 32 filters: some units; arguments as of ``convolve_16``."""
    c = Convolution(*arguments[:-2])
    for unit in range(arguments[-2], arguments[-1]):
        _convolve(c, unit, INT16X64, INT32X32, 32, False)


@kernel
def convolve_16(*arguments: Any) -> None:
    """Blocks of 16 filters: some units.

    Args:
        *arguments: the fields of a ``Convolution``, the first unit, and the unit after the last one.
    """
    c = Convolution(*arguments[:-2])
    for unit in range(arguments[-2], arguments[-1]):
        _convolve(c, unit, INT16X32, INT32X16, 16, WIDE)


@kernel
def convolve_8(*arguments: Any) -> None:
    """Blocks of 8 filters: some units; arguments as of ``convolve_16``."""
    c = Convolution(*arguments[:-2])
    for unit in range(arguments[-2], arguments[-1]):
        _convolve(c, unit, INT16X16, INT32X8, 8, True)


@parallel_kernel
def convolve_32_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_32`` of all units, shared out among threads."""
    for t in numba.prange(threads):
        convolve_32(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def convolve_16_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_16`` of all units, shared out among threads."""
    for t in numba.prange(threads):
        convolve_16(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def convolve_8_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_8`` of all units, shared out among threads."""
    for t in numba.prange(threads):
        convolve_8(*arguments, units * t // threads, units * (t + 1) // threads)


@inlined
def _convolve(c: Convolution, unit: int, weights_kind: Any, sums_kind: Any, lanes: int, by_two: bool) -> None:
    block = unit // c.units
    first = (unit - block * c.units) * UNIT_QUADS
    last = min(first + UNIT_QUADS, c.windows.size // QUAD)
    middle = last - (last - first) % 2 if by_two else first
    _pairs_of_quads(c, block, first, middle, weights_kind, sums_kind, lanes)
    _single_quads(c, block, middle, last, weights_kind, sums_kind, lanes)


@inlined
def _single_quads(
    c: Convolution, block: int, first: int, last: int, weights_kind: Any, sums_kind: Any, lanes: int
) -> None:
    source, windows, weights = pointer(c.source), pointer(c.windows), pointer(c.weights)
    begin = load_unaligned(sums_kind, pointer(c.offsets), block * lanes)
    for quad in range(first, last):
        s0 = s1 = s2 = s3 = begin
        w = block * c.rows * c.pairs * 2 * lanes
        a0, a1 = item(windows, QUAD * quad), item(windows, QUAD * quad + 1)
        a2, a3 = item(windows, QUAD * quad + 2), item(windows, QUAD * quad + 3)
        for _ in range(c.rows):
            for x in range(0, 2 * c.pairs, 2):
                pair = load_unaligned(weights_kind, weights, w)
                s0 = add_products(s0, pair, source, a0 + x)
                s1 = add_products(s1, pair, source, a1 + x)
                s2 = add_products(s2, pair, source, a2 + x)
                s3 = add_products(s3, pair, source, a3 + x)
                w += 2 * lanes
            a0, a1, a2, a3 = a0 + c.row, a1 + c.row, a2 + c.row, a3 + c.row
        _write_quad(c, quad, block * lanes, s0, s1, s2, s3)


@inlined
def _pairs_of_quads(
    c: Convolution, block: int, first: int, last: int, weights_kind: Any, sums_kind: Any, lanes: int
) -> None:
    source, windows, weights = pointer(c.source), pointer(c.windows), pointer(c.weights)
    begin = load_unaligned(sums_kind, pointer(c.offsets), block * lanes)
    for quad in range(first, last, 2):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = begin
        w = block * c.rows * c.pairs * 2 * lanes
        a0, a1 = item(windows, QUAD * quad), item(windows, QUAD * quad + 1)
        a2, a3 = item(windows, QUAD * quad + 2), item(windows, QUAD * quad + 3)
        a4, a5 = item(windows, QUAD * quad + 4), item(windows, QUAD * quad + 5)
        a6, a7 = item(windows, QUAD * quad + 6), item(windows, QUAD * quad + 7)
        for _ in range(c.rows):
            for x in range(0, 2 * c.pairs, 2):
                pair = load_unaligned(weights_kind, weights, w)
                s0 = add_products(s0, pair, source, a0 + x)
                s1 = add_products(s1, pair, source, a1 + x)
                s2 = add_products(s2, pair, source, a2 + x)
                s3 = add_products(s3, pair, source, a3 + x)
                s4 = add_products(s4, pair, source, a4 + x)
                s5 = add_products(s5, pair, source, a5 + x)
                s6 = add_products(s6, pair, source, a6 + x)
                s7 = add_products(s7, pair, source, a7 + x)
                w += 2 * lanes
            a0, a1, a2, a3 = a0 + c.row, a1 + c.row, a2 + c.row, a3 + c.row
            a4, a5, a6, a7 = a4 + c.row, a5 + c.row, a6 + c.row, a7 + c.row
        _write_quad(c, quad, block * lanes, s0, s1, s2, s3)
        _write_quad(c, quad + 1, block * lanes, s4, s5, s6, s7)


@inlined
def _write_quad(c: Convolution, quad: int, at: int, s0: Any, s1: Any, s2: Any, s3: Any) -> None:
    target, cells = pointer(c.target), pointer(c.cells)
    if c.pooled:
        _write(c, maximum(maximum(s0, s1), maximum(s2, s3)), target, item(cells, quad) + at)
    else:
        _write(c, s0, target, item(cells, QUAD * quad) + at)
        _write(c, s1, target, item(cells, QUAD * quad + 1) + at)
        _write(c, s2, target, item(cells, QUAD * quad + 2) + at)
        _write(c, s3, target, item(cells, QUAD * quad + 3) + at)


@inlined
def _write(c: Convolution, sums: Any, target: Pointer, index: int) -> None:
    requantize(sums, c.factor, c.shift, c.lowest, c.highest, target, index)


class Pool(NamedTuple):
    """A max pool of a map of int16.

    Attributes:
        source: the map.
        windows: int32 [cell of the output][value of its window]: where the cells that it pools begin.
        target: the pooled map.
        cells: int32: where each of its cells begins.
        channels: values of a cell.
    """

    source: Int16
    windows: Int32
    target: Int16
    cells: Int32
    channels: int


@kernel
def pool(*arguments: Any) -> None:
    """Max pool: some cells. Arguments: the fields of a ``Pool``, the first cell, and the cell after the last one."""
    p = Pool(*arguments[:-2])
    for cell in range(arguments[-2], arguments[-1]):
        # Of slices LLVM makes vectors, since their indices begin at 0 and need no test for negative ones.
        made = p.target[p.cells[cell] : p.cells[cell] + p.channels]
        for i in range(p.windows.shape[1]):
            read = p.source[p.windows[cell, i] : p.windows[cell, i] + p.channels]
            if i == 0:
                for c in range(made.size):
                    made[c] = read[c]
            else:
                for c in range(made.size):
                    made[c] = max(made[c], read[c])


@parallel_kernel
def pool_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``pool`` of all cells, shared out among threads."""
    for t in numba.prange(threads):
        pool(*arguments, units * t // threads, units * (t + 1) // threads)


class Widen(NamedTuple):
    """An image's map: its values, the first one's place, and the values from row to row."""

    target: Int16
    origin: int
    row: int


@kernel
def widen(image: NDArray[np.uint8], *arguments: Any) -> None:
    """The bytes of some rows of an image, uint8 (height, width, channels), as int16.

    Arguments after it: the fields of a ``Widen``, the first row, and the row after the last one.
    """
    w = Widen(*arguments[:-2])
    for row in range(arguments[-2], arguments[-1]):
        start, read = w.origin + row * w.row, image[row].reshape(-1)
        made = w.target[start : start + read.size]
        for i in range(read.size):  # LLVM makes vectors of it: see ``pool``.
            made[i] = read[i]


@parallel_kernel
def widen_parallel(threads: int, units: int, image: NDArray[np.uint8], *arguments: Any) -> None:
    """``widen`` of all rows, shared out among threads."""
    for t in numba.prange(threads):
        widen(image, *arguments, units * t // threads, units * (t + 1) // threads)
