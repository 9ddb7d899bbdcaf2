"""The kernels for layers of many filters: parts of a sum are looked up, for 64 filters at a time.

The package's docstring says what S, maps, bounds and flips are.

**Tables.** A chunk is BITS neighbouring channels of one cell of the input map. A filter has a bit of weight for each of
them; read as a number, these bits are the filter's index for the chunk. What a chunk adds to S depends on this index
and on the cell, and on nothing else of the filter. So a table with an entry for each of the 2^BITS indices is made for
each chunk of each cell, once. All filters use it, in all windows that hold the cell. A table is the sum of one table
for each bit plane. What plane p adds depends on the chunk's BITS bits in it, and these tables, one for each of the
2^BITS values, are made in advance ("codes").

**Lookups.** A table fits one register. One instruction looks up the indices of 64 filters, a byte for each, and so does
64 * BITS multiply-accumulates, whatever the number of bits of a level. With AVX-512 VBMI, where BITS is 6, a lookup and
an addition do for levels of two bits what takes popcount four and a half instructions. Four windows share each load of
indices. Where there are 32 long registers, two groups of 64 filters share each load of a table.

**Sums.** A sum of lookups is a byte for each filter. Before a byte could overflow, after a burst of lookups, the bytes
are added to totals of 16 bits; ``vectors.pairs_and_odd`` says how.

**The ring of rows.** The tables of a map are 2^BITS / BITS times as large as its levels, each a byte. Hence not all of
them are kept, but those of as many rows as a block of quads of windows needs; ``layer._ring`` draws it.

**Segments.** The lookups of a window are divided into segments. The weights and the tables of a segment fit the caches
next to the core, and all filters and all windows of a block use them before the next segment begins. In between the
totals are in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel, parallel_kernel
from tinier_yolo.runtime.kernels.lookup.vectors import (
    BITS,
    ENTRIES,
    GROUPS,
    TABLE,
    TOTALS,
    WINDOWS,
    add_burst,
    add_looked_up,
    below,
    least_of_four,
    load_totals,
    no_sums,
    no_totals,
    store_totals,
    totals_of_one,
)
from tinier_yolo.runtime.kernels.vectors import (
    INT8X64,
    Vector,
    add,
    item,
    load,
    load_unaligned,
    store,
    store_part,
    zeros,
)

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Uint16 = NDArray[np.uint16]
Words = NDArray[np.uint64]

#: Filters of a lookup.
FILTERS = 64
#: Quads of windows that share each load of a segment's weights to the first-level cache.
BLOCK = 2
#: Which filter of its group each byte lane is: even lanes the first 32, so that their totals and masks are in order.
LANE_FILTERS = np.arange(64).reshape(2, 32).T.ravel()

_MASK = ENTRIES - 1


class Lookup(NamedTuple):
    """What a lookup kernel sums.

    Attributes:
        source: the input map, uint8.
        plane: bytes from plane to plane.
        planes: bits of a level.
        row: bytes from row to row.
        cells: cells of a row, with the border.
        cell: bytes of a cell in one plane.
        codes: uint8 [plane][BITS bits of the map][table].
        chunks: tables of a cell.
        mask: the bits of the last chunk that are channels.
        size: rows and columns of the convolution's kernel.
        slots: rows of tables that are kept, as many as a block of quads needs.
        needed: int32, the row after the last one that each quad of windows needs.
        places: int32 [quad][kernel row][window]: where in the ring the windows' tables are.
        taps: int32, how far each lookup's table is from a window's place; -1 ends a burst, of as many lookups as a byte
            holds. (A loop whose end LLVM cannot foresee is not unrolled, for which registers are lacking.)
        rows: int32, the kernel row of each burst.
        segments: int32, the first tap and the first burst of each segment, whose weights and tables fit the cache.
        weights: uint8 [filter / 64][lookup][64].
    """

    source: Bytes
    plane: int
    planes: int
    row: int
    cells: int
    cell: int
    codes: Bytes
    chunks: int
    mask: int
    size: int
    slots: int
    needed: Int32
    places: Int32
    taps: Int32
    rows: Int32
    segments: Int32
    weights: Bytes


class Levels(NamedTuple):
    """What becomes of the sums.

    Attributes:
        bounds: uint16 [filter / 64][n][64]: level = how many of its filter's n bounds S is below.
        flips: uint64 [filter / 64]: a bit for each filter whose level is reversed.
        target: the output map, uint8.
        plane: bytes from plane to plane.
        planes: bits of a level.
        cell: bytes of a cell in one plane.
        cells: int32, the byte offset of each cell in a plane.
    """

    bounds: Uint16
    flips: Words
    target: Bytes
    plane: int
    planes: int
    cell: int
    cells: Int32


_FIELDS = len(Lookup._fields)


@kernel
def convolve_lookup_pool(*arguments: Any) -> None:
    """Convolution, 2x2 max pool, thresholds: some cells of the pooled map.

    Args:
        *arguments: the fields of a ``Lookup``, whose quads hold the four windows that a cell pools; those of a
            ``Levels``; the first cell to compute, and the cell after the last one.
    """
    lookup, levels = Lookup(*arguments[:_FIELDS]), Levels(*arguments[_FIELDS:-2])
    first, last = arguments[-2:]
    groups = levels.flips.size
    tables, sums = _buffers(lookup, groups)
    made = _first_row(lookup, first, last)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        made = _sum_block(lookup, groups, start, end, made, tables, sums)
        for cell in range(start, end):
            for group in range(groups):
                totals = least_of_four(sums, ((cell - start) * groups + group) * TOTALS)
                _store_levels(levels, totals, group, cell)


@parallel_kernel
def convolve_lookup_pool_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_lookup_pool`` of all cells, shared out among threads."""
    for t in numba.prange(threads):
        convolve_lookup_pool(*arguments, units * t // threads, units * (t + 1) // threads)


@kernel
def convolve_lookup(*arguments: Any) -> None:
    """Convolution and thresholds: the cells of some quads, four cells to a quad.

    The arguments are those of :func:`convolve_lookup_pool`, with a cell for each of a quad's four windows.
    """
    lookup, levels = Lookup(*arguments[:_FIELDS]), Levels(*arguments[_FIELDS:-2])
    first, last = arguments[-2:]
    groups = levels.flips.size
    tables, sums = _buffers(lookup, groups)
    made = _first_row(lookup, first, last)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        made = _sum_block(lookup, groups, start, end, made, tables, sums)
        for quad in range(start, end):
            for window in range(WINDOWS):
                for group in range(groups):
                    place = ((quad - start) * groups + group) * TOTALS + window * (TOTALS // WINDOWS)
                    _store_levels(levels, totals_of_one(sums, place), group, WINDOWS * quad + window)


@parallel_kernel
def convolve_lookup_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``convolve_lookup`` of all quads, shared out among threads."""
    for t in numba.prange(threads):
        convolve_lookup(*arguments, units * t // threads, units * (t + 1) // threads)


@inlined
def _make_row(lookup: Lookup, row: int, tables: Bytes, to: int) -> None:
    # The tables of one row of the input map, [cell][chunk].
    whole = lookup.chunks - 1
    start = row * lookup.row
    for _ in range(lookup.cells):
        for chunk in range(0, whole - 3, 4):
            _make_four(lookup, start + chunk * BITS // 8, tables, to + chunk * ENTRIES)
        for chunk in range(whole & ~3, whole + 1):
            table, bit = zeros(TABLE), chunk * BITS
            mask = lookup.mask if chunk == whole else _MASK
            for p in range(lookup.planes):
                word = load_unaligned(np.uint64, lookup.source, p * lookup.plane + start + (bit >> 3)) >> np.uint64(
                    bit & 7
                )
                code = np.int64(word & np.uint64(mask))
                table = add(table, load(TABLE, lookup.codes, (p * ENTRIES + code) * ENTRIES))
            store(tables, to + chunk * ENTRIES, table)
        start += lookup.cell
        to += lookup.chunks * ENTRIES


@inlined
def _make_four(lookup: Lookup, start: int, tables: Bytes, to: int) -> None:
    t0, t1, t2, t3 = zeros(TABLE), zeros(TABLE), zeros(TABLE), zeros(TABLE)
    for p in range(lookup.planes):
        word = np.int64(load_unaligned(np.uint64, lookup.source, p * lookup.plane + start))
        codes = p * ENTRIES
        t0 = add(t0, load(TABLE, lookup.codes, (codes + (word & _MASK)) * ENTRIES))
        t1 = add(t1, load(TABLE, lookup.codes, (codes + (word >> BITS & _MASK)) * ENTRIES))
        t2 = add(t2, load(TABLE, lookup.codes, (codes + (word >> 2 * BITS & _MASK)) * ENTRIES))
        t3 = add(t3, load(TABLE, lookup.codes, (codes + (word >> 3 * BITS & _MASK)) * ENTRIES))
    store(tables, to, t0)
    store(tables, to + ENTRIES, t1)
    store(tables, to + 2 * ENTRIES, t2)
    store(tables, to + 3 * ENTRIES, t3)


@inlined
def _add_group(lookup: Lookup, tables: Bytes, quad: int, segment: int, group: int, sums: Uint16, to: int) -> None:
    # The lookups of a segment in four windows for 64 filters.
    totals = load_totals(sums, to) if segment else no_totals()
    i, burst = item(lookup.segments, 2 * segment), item(lookup.segments, 2 * segment + 1)
    at = (group * (lookup.taps.size - lookup.rows.size) + i - burst) * FILTERS
    while burst < item(lookup.segments, 2 * segment + 3):
        places, s = _places(lookup, quad, item(lookup.rows, burst)), no_sums()
        tap = item(lookup.taps, i)
        while tap >= 0:
            s = add_looked_up(s, load(INT8X64, lookup.weights, at), tables, places, tap)
            at += FILTERS
            i += 1
            tap = item(lookup.taps, i)
        totals = add_burst(totals, s)
        i += 1
        burst += 1
    store_totals(sums, to, totals)


@inlined
def _add_two_groups(lookup: Lookup, tables: Bytes, quad: int, segment: int, group: int, sums: Uint16, to: int) -> None:
    # The same for 128 filters, which share the loads of tables.
    totals = load_totals(sums, to) if segment else no_totals()
    further = load_totals(sums, to + TOTALS) if segment else no_totals()
    i, burst = item(lookup.segments, 2 * segment), item(lookup.segments, 2 * segment + 1)
    step = (lookup.taps.size - lookup.rows.size) * FILTERS
    at = group * step + (i - burst) * FILTERS
    while burst < item(lookup.segments, 2 * segment + 3):
        places, s, t = _places(lookup, quad, item(lookup.rows, burst)), no_sums(), no_sums()
        tap = item(lookup.taps, i)
        while tap >= 0:
            s = add_looked_up(s, load(INT8X64, lookup.weights, at), tables, places, tap)
            t = add_looked_up(t, load(INT8X64, lookup.weights, at + step), tables, places, tap)
            at += FILTERS
            i += 1
            tap = item(lookup.taps, i)
        totals, further = add_burst(totals, s), add_burst(further, t)
        i += 1
        burst += 1
    store_totals(sums, to, totals)
    store_totals(sums, to + TOTALS, further)


@inlined
def _places(lookup: Lookup, quad: int, row: int) -> tuple[int, int, int, int]:
    at = (quad * lookup.size + row) * WINDOWS
    places = lookup.places
    return item(places, at), item(places, at + 1), item(places, at + 2), item(places, at + 3)


@inlined
def _first_row(lookup: Lookup, first: int, last: int) -> int:
    # The first input row that quads `first` to `last` need, or one before it.
    return max(item(lookup.needed, min(first + BLOCK, last) - 1) - lookup.slots, 0) if first < last else 0


@inlined
def _sum_block(lookup: Lookup, groups: int, first: int, last: int, made: int, tables: Bytes, sums: Uint16) -> int:
    # S of quads `first` to `last` for all filters, and the first row whose tables are not made yet.
    while made < item(lookup.needed, last - 1):
        _make_row(lookup, made, tables, made % lookup.slots * (lookup.cells * lookup.chunks * ENTRIES))
        made += 1
    whole = groups - groups % GROUPS if GROUPS == 2 else 0
    for segment in range(lookup.segments.size // 2 - 1):
        for group in range(0, whole, 2):
            for quad in range(first, last):
                to = ((quad - first) * groups + group) * TOTALS
                _add_two_groups(lookup, tables, quad, segment, group, sums, to)
        for group in range(whole, groups):
            for quad in range(first, last):
                to = ((quad - first) * groups + group) * TOTALS
                _add_group(lookup, tables, quad, segment, group, sums, to)
    return made


@inlined
def _buffers(lookup: Lookup, groups: int) -> tuple[Bytes, Uint16]:
    # The ring of tables and a block's sums for all filters.
    tables = np.empty(lookup.slots * lookup.cells * lookup.chunks * ENTRIES + 64, np.uint8)
    sums = np.empty(BLOCK * groups * TOTALS + 32, np.uint16)
    return tables[-tables.ctypes.data & 63 :], sums[(-sums.ctypes.data & 63) // 2 :]


@inlined
def _store_levels(levels: Levels, totals: Vector, group: int, cell: int) -> None:
    # The levels of a cell's 64 filters of a group.
    flips, place = item(levels.flips, group), item(levels.cells, cell) + 8 * group
    size = min(levels.cell - 8 * group, 8)
    if levels.planes == 2:  # The usual case, without a loop.
        at = 3 * group * FILTERS
        low = below(totals, levels.bounds, at)
        middle = below(totals, levels.bounds, at + FILTERS)
        high = below(totals, levels.bounds, at + 2 * FILTERS)
        store_part(levels.target, place, flips ^ low ^ middle ^ high, size)
        store_part(levels.target, place + levels.plane, flips ^ middle, size)
        return
    bounds = (1 << levels.planes) - 1
    for p in range(levels.planes):
        word, i = flips, 1 << p
        while i <= bounds:
            word ^= below(totals, levels.bounds, (group * bounds + i - 1) * FILTERS)
            i += 1 << p
        store_part(levels.target, place + p * levels.plane, word, size)
