"""The steps that the families' inner loops consist of, alone: words compared, indices looked up, slots added.

The data is that of no layer, and stays in the first-level cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel
from tinier_yolo.runtime.kernels.lookup.vectors import (
    ENTRIES,
    TOTALS,
    add_burst,
    add_looked_up,
    no_sums,
    no_totals,
    store_totals,
)
from tinier_yolo.runtime.kernels.popcount.vectors import BURST, add_mismatches, begin_burst, end_burst
from tinier_yolo.runtime.kernels.vectors import (
    INT8X32,
    INT8X64,
    INT32X16,
    Pointer,
    Vector,
    add,
    advance,
    item,
    keep,
    load,
    load_unaligned,
    pointer,
    store,
    zeros,
)

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Uint16 = NDArray[np.uint16]

_ALL_BITS = np.uint32(0xFFFFFFFF)
#: Where the tables of the four windows lie.
_PLACES = (0, ENTRIES, 2 * ENTRIES, 3 * ENTRIES)
#: Of ``add_slots``: from a slot to its second vector of pixels.
_SECOND = 30


@kernel
def count_words(words: Int32, source: Bytes, bursts: int, steps: int) -> None:
    """Popcount's: ``bursts`` times ``steps``, or BURST if that is less, words of 16 filters in four windows.

    Args:
        words: int32, eight words of 16 filters and room for one more, aligned.
        source: uint8, at least 16.
        bursts: how many bursts.
        steps: words in each.
    """
    s0, s1, s2, s3 = zeros(INT32X16), zeros(INT32X16), zeros(INT32X16), zeros(INT32X16)
    for _ in range(bursts):
        c0, c1, c2, c3 = begin_burst(s0), begin_burst(s1), begin_burst(s2), begin_burst(s3)
        for step in range(min(BURST, steps)):
            w = load(INT32X16, words, (step & 7) * 16)
            c0 = add_mismatches(c0, w, source, 0, _ALL_BITS)
            c1 = add_mismatches(c1, w, source, 4, _ALL_BITS)
            c2 = add_mismatches(c2, w, source, 8, _ALL_BITS)
            c3 = add_mismatches(c3, w, source, 12, _ALL_BITS)
        s0, s1, s2, s3 = end_burst(s0, c0), end_burst(s1, c1), end_burst(s2, c2), end_burst(s3, c3)
    store(words, 128, add(add(s0, s1), add(s2, s3)))


@kernel
def look_up(indices: Bytes, tables: Bytes, taps: Int32, totals: Uint16, bursts: int) -> None:
    """Lookup's: ``bursts`` times the taps, for 64 filters in four windows.

    Args:
        indices: uint8 [tap][64], aligned, twice.
        tables: uint8, three tables longer than the taps reach, aligned.
        taps: int32, where each tap's table is; the last one is -1.
        totals: uint16, those of two groups of filters, aligned.
        bursts: how many bursts.
    """
    sums = no_totals()
    for _ in range(bursts):
        s, i = no_sums(), 0
        tap = item(taps, i)
        while tap >= 0:
            s = add_looked_up(s, load(INT8X64, indices, i * 64), tables, _PLACES, tap)
            i += 1
            tap = item(taps, i)
        sums = add_burst(sums, s)
    store_totals(totals, 0, sums)


@kernel
def look_up_twice(indices: Bytes, tables: Bytes, taps: Int32, totals: Uint16, bursts: int) -> None:
    """The same for 128 filters, which share the loads of tables."""
    sums, further = no_totals(), no_totals()
    half = (taps.size - 1) * 64
    for _ in range(bursts):
        s, t, i = no_sums(), no_sums(), 0
        tap = item(taps, i)
        while tap >= 0:
            s = add_looked_up(s, load(INT8X64, indices, i * 64), tables, _PLACES, tap)
            t = add_looked_up(t, load(INT8X64, indices, half + i * 64), tables, _PLACES, tap)
            i += 1
            tap = item(taps, i)
        sums, further = add_burst(sums, s), add_burst(further, t)
    store_totals(totals, 0, sums)
    store_totals(totals, TOTALS, further)


@kernel
def add_slots(slots: Bytes, terms: Int64, rounds: int) -> None:
    """Rows': ``rounds`` times the terms, three slots each, for two vectors of pixels in two rows of windows.

    Args:
        slots: uint8, aligned: two rows of slots.
        terms: int64, where each term's three slots lie in a row, in 16 bits each.
        rounds: how many times.
    """
    upper, first = pointer(slots), pointer(terms)
    lower = advance(upper, slots.size // 2)
    a, b, c, d = zeros(INT8X32), zeros(INT8X32), zeros(INT8X32), zeros(INT8X32)
    for _ in range(rounds):
        term = first
        for _ in range(terms.size):
            three = item(term, 0)
            for column in range(3):
                at = (three >> 16 * column & 0xFFFF) + column
                a, b = _add(a, upper, at), _add(b, lower, at)
                c, d = _add(c, upper, at + _SECOND), _add(d, lower, at + _SECOND)
            term = advance(term, 1)
    store(upper, 0, add(add(a, b), add(c, d)))
    keep(slots)


@inlined
def _add(total: Vector, row: Pointer, at: int) -> Vector:
    return add(total, load_unaligned(INT8X32, row, at))
