"""The max pool of a map of levels, bit by bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined, kernel, parallel_kernel
from tinier_yolo.runtime.kernels.vectors import item, load_unaligned, store_part

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]


class Pool(NamedTuple):
    """What the kernel pools.

    Attributes:
        source: the map of levels that are not reversed yet, uint8.
        plane: bytes from plane to plane.
        planes: bits of a level.
        windows: int32, the byte offsets in a plane of the ``size`` cells that each cell of the output pools.
        size: see ``windows``.
        flips: uint8, a bit for each channel: ones where the level is reversed.
        target: the pooled map, uint8.
        target_plane: bytes from plane to plane.
        cells: int32, the byte offset of each of its cells in a plane.
    """

    source: Bytes
    plane: int
    planes: int
    windows: Int32
    size: int
    flips: Bytes
    target: Bytes
    target_plane: int
    cells: Int32


@kernel
def pool(*arguments: Any) -> None:
    """Max pool, then flips: some cells.

    From the highest plane down: the maximum has a bit where a candidate has it, and candidates without it drop out.

    Args:
        *arguments: the fields of a ``Pool``, the first cell to compute, and the cell after the last one.
    """
    p, first, last = Pool(*arguments[:-2]), arguments[-2], arguments[-1]
    candidates = np.empty(p.size, np.uint64)
    width = p.flips.size
    step = 8 if width >= 8 else 1
    for cell in range(first, last):
        for start in range(0, width, step):
            # The last word of a row steps back over bytes already done; doing them twice changes nothing.
            byte = min(start, width - step)
            flip = _word(p.flips, byte, step)
            if p.size == 4:
                _pool_four(p, cell, byte, step, flip)
                continue
            candidates[:] = ~np.uint64(0)
            for plane in range(p.planes - 1, -1, -1):
                found, begin = np.uint64(0), plane * p.plane + byte
                for i in range(p.size):
                    found |= candidates[i] & _word(p.source, begin + p.windows[cell * p.size + i], step)
                for i in range(p.size):
                    candidates[i] &= _word(p.source, begin + p.windows[cell * p.size + i], step) | ~found
                store_part(p.target, plane * p.target_plane + p.cells[cell] + byte, found ^ flip, step)


@parallel_kernel
def pool_parallel(threads: int, units: int, *arguments: Any) -> None:
    """``pool`` of all cells, shared out among threads."""
    for t in numba.prange(threads):
        pool(*arguments, units * t // threads, units * (t + 1) // threads)


@inlined
def _pool_four(p: Pool, cell: int, byte: int, step: int, flip: np.uint64) -> None:
    # The usual size, with the candidates in registers.
    at = (
        item(p.windows, 4 * cell) + byte,
        item(p.windows, 4 * cell + 1) + byte,
        item(p.windows, 4 * cell + 2) + byte,
        item(p.windows, 4 * cell + 3) + byte,
    )
    place = item(p.cells, cell) + byte
    c0 = c1 = c2 = c3 = ~np.uint64(0)
    for plane in range(p.planes - 1, -1, -1):
        begin = plane * p.plane
        w0, w1 = _word(p.source, begin + at[0], step), _word(p.source, begin + at[1], step)
        w2, w3 = _word(p.source, begin + at[2], step), _word(p.source, begin + at[3], step)
        found = c0 & w0 | c1 & w1 | c2 & w2 | c3 & w3
        c0, c1, c2, c3 = c0 & (w0 | ~found), c1 & (w1 | ~found), c2 & (w2 | ~found), c3 & (w3 | ~found)
        store_part(p.target, plane * p.target_plane + place, found ^ flip, step)


@inlined
def _word(source: Bytes, offset: int, size: int) -> np.uint64:
    word: np.uint64 = load_unaligned(np.uint64, source, offset) if size == 8 else np.uint64(source[offset])
    return word
