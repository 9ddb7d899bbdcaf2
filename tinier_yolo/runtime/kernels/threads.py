"""Threads: among how many a step may be shared out. Each takes its share of the units; the step ends when all have."""

from __future__ import annotations

import os
from typing import Any

import numba

from tinier_yolo.runtime.kernels.compile import parallel_kernel

#: Numba's threading layers that enter a parallel region in about a microsecond; its own workqueue takes a hundred.
_FAST_LAYERS = ("omp", "tbb")

#: The process that has started the threads: in a process forked from it GNU OpenMP ends the program.
_owner: int | None = None

_numba: Any = numba


def usable_threads(wanted: int) -> int:
    """Among how many threads a step may be shared out: 1 where that would cost more than it gains, or cannot be."""
    global _owner
    available = min(wanted, int(_numba.config.NUMBA_NUM_THREADS))
    if available == 1 or _forked():
        return 1
    _owner = os.getpid()
    _nothing(available)
    return available if _numba.threading_layer() in _FAST_LAYERS else 1


def set_threads(threads: int) -> int:
    """Let the parallel kernels that this thread calls use ``threads`` threads.

    Returns:
        ``threads``, or 1 in a process that was forked after the threads had started: it must stay serial.
    """
    if _forked():
        return 1
    numba.set_num_threads(threads)
    return threads


def _forked() -> bool:
    return _owner not in (None, os.getpid())


@parallel_kernel
def _nothing(threads: int) -> int:
    total = 0
    for thread in numba.prange(threads):
        total += thread
    return total
