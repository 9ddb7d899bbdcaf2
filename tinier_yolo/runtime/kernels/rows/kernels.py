"""The kernel for layers of few channels on large maps: its lanes are pixels of a row, a byte for each.

The package's docstring says what S, bounds and flips are.

Popcount compares words of 32 channels. Where there are fewer, a part of each word is wasted, and most of the time goes
into what is done once for each cell: storing, comparing, packing. This kernel does that for many cells at once.

**Slots.** Four channels of a pixel add to S, for each of them, q where the weight is -1 and n - q where it is +1. Their
four weights are one of 16 patterns. The 16 sums are made once for each pixel, and all filters use them at all nine
places of the kernel that hold the pixel. A slot is a cache line, 64 bytes: the sums of 64 pixels of a row for one
pattern. A filter adds up slots: for every four channels of every row and column of its kernel that of its pattern, one
load and one addition for 32 pixels. The column is where the load begins, since the sums of the neighbours on the right
are the same bytes, one byte further on. 62 pixels of a slot have both neighbours in it; so 62 columns are convolved
from it, by loads of 32 bytes at 0, 1 and 2 for the first of them and at 30, 31 and 32 for the last. No load
straddles two cache lines.

**Runs.** A byte holds the sum of a few slots. After a run of these the bytes are added to two vectors of int16, of the
even and of the odd pixels (``vectors.pairs_and_odd`` says how). That suits the 2x2 max pool: it is the minimum of S
over even and odd pixels and over two rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel, parallel_kernel
from tinier_yolo.runtime.kernels.rows.vectors import (
    add_odd,
    add_pairs,
    append_bits,
    high_levels,
    least_bytes,
    least_of_pairs,
    load_even_cells,
    load_separate_cells,
    low_levels,
    marked_below,
)
from tinier_yolo.runtime.kernels.vectors import (
    INT8X32,
    INT8X64,
    INT16X16,
    Pointer,
    Vector,
    add,
    advance,
    aligned_pointer,
    exclusive_or,
    item,
    keep,
    load,
    load_unaligned,
    minimum,
    pointer,
    splat,
    store,
    store_unaligned,
    subtract,
    zeros,
)

Bytes = NDArray[np.uint8]
Int16 = NDArray[np.int16]
Int64 = NDArray[np.int64]

#: Pixels, and bytes, of a slot.
SLOT = 64
#: Columns convolved from a slot: the first and the last of its pixels are neighbours only.
COLUMNS = SLOT - 2
#: Pixels of a vector: two for a slot, of which the second starts at _SECOND. It is left out where one will do.
PIXELS = 32
_SECOND = COLUMNS - PIXELS
#: Pooled cells of a vector.
LANES = PIXELS // 2
#: Channels that share a sum, and the patterns of their weights.
CHANNELS = 4
PATTERNS = 1 << CHANNELS
#: Bits of a level, of the input and of the output.
MOST_BITS = 4
#: Rows of sums that are kept: the four under two rows of the convolution. A power of two.
_ROWS = 4
#: Rows must not lie a multiple of 4096 bytes apart: the cache cannot read two such lines at a time.
_GAP = 5 * SLOT
#: Where the rows of slots begin in a thread's memory: behind the bits of a vector of cells, a line for each plane.
_SLOTS = MOST_BITS * SLOT


class Source(NamedTuple):
    """The input map.

    Attributes:
        data: its bytes, with a border of 1; what follows its rows is read up to the length of a slot.
        plane: bytes from plane to plane.
        planes: bits of a level.
        row: bytes from row to row.
        cell: bytes of a cell in one plane.
        width: columns to convolve: twice the pooled map's.
    """

    data: Bytes
    plane: int
    planes: int
    row: int
    cell: int
    width: int


class Filters(NamedTuple):
    """The layer.

    Attributes:
        terms: int64 [filter][kernel row][four channels]: bits 16 j to 16 j + 15 say where, for kernel column j, the
            pattern's slot lies in its row of slots.
        run: how many times three terms a byte can hold the sum of, a divisor of those of a kernel row.
        runs: of those in a kernel row; 0 if a byte holds the sum of all.
        bounds: int16 [filter][n]: level = how many of its filter's n bounds S is below.
        flips: int16 [filter / 16]: ones where the level is reversed.
        number: how many filters there are.
        size: rows of the convolution's kernel, 3. LLVM would unroll a loop over a number that it knew.
    """

    terms: Int64
    run: int
    runs: int
    bounds: Int16
    flips: Int16
    number: int
    size: int


class Target(NamedTuple):
    """The output map.

    Attributes:
        data: its bytes.
        plane: bytes from plane to plane.
        planes: bits of a level.
        row: bytes from row to row.
        cell: bytes of a cell in one plane.
        origin: the byte offset of the first cell in a plane.
    """

    data: Bytes
    plane: int
    planes: int
    row: int
    cell: int
    origin: int


_SOURCE = len(Source._fields)
_FILTERS = _SOURCE + len(Filters._fields)


class _Sums(NamedTuple):
    # What the sums of a row of the pooled map are made from. Pointers: see ``vectors``.
    memory: Pointer  # A thread's: lines of bits, then rows of slots.
    row_size: int  # Bytes of a row of slots.
    row: int  # The first of its rows of the convolution.
    terms: Pointer
    run: int
    runs: int
    size: int


class _Cells(NamedTuple):
    # Where the bits of a group of 16 filters go: some cells of a row of the pooled map.
    data: Pointer
    first: int
    number: int
    plane: int
    planes: int
    cell: int


@kernel
def convolve_rows(*arguments: Any) -> None:
    """3x3 convolution with padding 1, 2x2 max pool and thresholds: some rows of the pooled map.

    Args:
        *arguments: the fields of a ``Source``, those of a ``Filters``, those of a ``Target``, the first row, and the
            row after the last one.
    """
    source, filters = Source(*arguments[:_SOURCE]), Filters(*arguments[_SOURCE:_FILTERS])
    target, first, last = Target(*arguments[_FILTERS:-2]), arguments[-2], arguments[-1]
    row_size = 2 * source.cell * PATTERNS * SLOT + _GAP
    scratch = np.empty(_ROWS * row_size + _SLOTS + SLOT, np.uint8)
    memory, read = aligned_pointer(scratch), pointer(source.data)
    for left in range(0, source.width, COLUMNS):
        count = min(source.width - left, COLUMNS) // 2
        made = 2 * first
        for row in range(first, last):
            while made < 2 * row + 4:
                at, to = made * source.row + left * source.cell, _SLOTS + (made & _ROWS - 1) * row_size
                _make_sums(read, at, source.plane, source.planes, source.cell, memory, to)
                made += 1
            cell = target.origin + row * target.row + left // 2 * target.cell
            sums = _Sums(memory, row_size, 2 * row, pointer(filters.terms), filters.run, filters.runs, filters.size)
            cells = _Cells(pointer(target.data), cell, count, target.plane, target.planes, target.cell)
            for group in range(filters.flips.size):
                flip, filter_ = item(filters.flips, group), 16 * group
                end = min(filter_ + 16, filters.number)
                _convolve_group(sums, pointer(filters.bounds), filter_, end, flip, cells)
    keep(scratch)


@parallel_kernel
def convolve_rows_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_rows`` of all rows, shared out among threads."""
    for t in numba.prange(threads):
        convolve_rows(*arguments, units * t // threads, units * (t + 1) // threads)


@inlined
def _make_sums(source: Pointer, read: int, plane: int, planes: int, step: int, memory: Pointer, to: int) -> None:
    # The slots of one row of 64 pixels, from eight channels at a time.
    most = splat(INT8X64, (1 << planes) - 1)
    for byte in range(step):
        # Channels c and c + 4 side by side in a byte, each with its level in four bits.
        levels0 = levels1 = levels2 = levels3 = zeros(INT8X64)
        for p in range(planes - 1, -1, -1):
            at = read + p * plane + byte
            if step == 1:
                bits = load_unaligned(INT8X64, source, at)
            elif step == 2:
                bits = load_even_cells(source, at)
            else:
                bits = load_separate_cells(source, at, step)
            levels0, levels1 = append_bits(levels0, bits, 0), append_bits(levels1, bits, 1)
            levels2, levels3 = append_bits(levels2, bits, 2), append_bits(levels3, bits, 3)
        low = (low_levels(levels0), low_levels(levels1), low_levels(levels2), low_levels(levels3))
        _store_sums(low, most, memory, to)
        to += PATTERNS * SLOT
        high = (high_levels(levels0), high_levels(levels1), high_levels(levels2), high_levels(levels3))
        _store_sums(high, most, memory, to)
        to += PATTERNS * SLOT


@inlined
def _store_sums(levels: tuple[Vector, Vector, Vector, Vector], most: Vector, memory: Pointer, to: int) -> None:
    a, b, c, d = levels
    not_a, not_b, not_c, not_d = subtract(most, a), subtract(most, b), subtract(most, c), subtract(most, d)
    low = (add(a, b), add(not_a, b), add(a, not_b), add(not_a, not_b))
    high = (add(c, d), add(not_c, d), add(c, not_d), add(not_c, not_d))
    for further in high:
        for nearer in low:
            store(memory, to, add(nearer, further))
            to += SLOT


@inlined
def _convolve_group(sums: _Sums, bounds: Pointer, first: int, end: int, flip: int, cells: _Cells) -> None:
    # Up to 31 pooled cells of sixteen filters, `first` to `end`. The planes of the cells' bits stay in registers: p of
    # the first 16 cells, q of the last 16.
    most = (1 << cells.planes) - 1
    p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = splat(INT16X16, flip)
    for f in range(first, end):
        near, far = _pooled_sums(sums, f, 2 * cells.number > PIXELS)
        for i in range(1, most + 1):
            bound, mark = item(bounds, f * most + i - 1), 1 << (f & 15)
            p, q = marked_below(near, bound, mark), marked_below(far, bound, mark)
            # The i-th comparison changes the planes whose 2^p divides i.
            p0, q0 = exclusive_or(p0, p), exclusive_or(q0, q)
            if i & 1 == 0:
                p1, q1 = exclusive_or(p1, p), exclusive_or(q1, q)
                if i & 3 == 0:
                    p2, q2 = exclusive_or(p2, p), exclusive_or(q2, q)
                    if i & 7 == 0:
                        p3, q3 = exclusive_or(p3, p), exclusive_or(q3, q)
    _keep(sums.memory, 0, p0, q0)
    _keep(sums.memory, SLOT, p1, q1)
    _keep(sums.memory, 2 * SLOT, p2, q2)
    _keep(sums.memory, 3 * SLOT, p3, q3)
    for plane in range(cells.planes):
        to = cells.first + first // 8 + plane * cells.plane
        _store_levels(cells, to, sums.memory, plane * SLOT, first // 8 + 1 < cells.cell)


@inlined
def _pooled_sums(sums: _Sums, f: int, both: bool) -> tuple[Vector, Vector]:
    # The least S of each cell's four windows: the first 16 cells and, if `both`, those from the 15th on. a and c are
    # the upper row of windows, b and d the lower one.
    row, row_size, run, runs = sums.row, sums.row_size, sums.run, sums.runs
    term = advance(sums.terms, f * 3 * run * max(runs, 1))
    a, b, c, d = zeros(INT8X32), zeros(INT8X32), zeros(INT8X32), zeros(INT8X32)
    wide_a = wide_b = wide_c = wide_d = (zeros(INT16X16), zeros(INT16X16))
    for y in range(row, row + sums.size):
        upper = advance(sums.memory, _SLOTS + (y & _ROWS - 1) * row_size)
        lower = advance(sums.memory, _SLOTS + (y + 1 & _ROWS - 1) * row_size)
        for _ in range(max(runs, 1)):
            for _ in range(run):
                three = item(term, 0)
                for column in range(3):
                    at = (three >> 16 * column & 0xFFFF) + column
                    a, b = _add(a, upper, at), _add(b, lower, at)
                    if both:
                        c, d = _add(c, upper, at + _SECOND), _add(d, lower, at + _SECOND)
                term = advance(term, 1)
            if runs != 0:
                wide_a, wide_b = _widen(wide_a, a), _widen(wide_b, b)
                wide_c, wide_d = _widen(wide_c, c), _widen(wide_d, d)
                a, b, c, d = zeros(INT8X32), zeros(INT8X32), zeros(INT8X32), zeros(INT8X32)
    if runs == 0:
        return least_bytes(a, b), least_bytes(c, d)
    return _least(wide_a, wide_b), _least(wide_c, wide_d)


@inlined
def _add(total: Vector, row: Pointer, at: int) -> Vector:
    return add(total, load_unaligned(INT8X32, row, at))


@inlined
def _widen(wide: tuple[Vector, Vector], added: Vector) -> tuple[Vector, Vector]:
    return add_pairs(wide[0], added), add_odd(wide[1], added)


@inlined
def _least(upper: tuple[Vector, Vector], lower: tuple[Vector, Vector]) -> Vector:
    return minimum(least_of_pairs(upper[0], upper[1]), least_of_pairs(lower[0], lower[1]))


@inlined
def _keep(memory: Pointer, at: int, near: Vector, far: Vector) -> None:
    store(memory, at, near)
    store(memory, at + 2 * LANES, far)


@inlined
def _store_levels(cells: _Cells, to: int, memory: Pointer, marks: int, pair: bool) -> None:
    # Sixteen filters' bits of the cells. Not a pair of bytes: the layer's last group fills one.
    if cells.cell == 2 and cells.number == COLUMNS // 2:
        store_unaligned(cells.data, to, load(INT16X16, memory, marks))
        # Two columns are a cell, of two bytes.
        store_unaligned(cells.data, to + _SECOND, load(INT16X16, memory, marks + 2 * LANES))
    else:
        for i in range(cells.number):
            # Both vectors have cell LANES - 1; where one will do, it is the first.
            bits = load_unaligned(np.int16, memory, marks + 2 * i + (2 if i >= LANES else 0))
            if pair:
                store_unaligned(cells.data, to + i * cells.cell, bits)
            else:
                store_unaligned(cells.data, to + i * cells.cell, np.uint8(bits))
