"""The kernels on several threads: each thread takes its share of a step's units, and the step ends when all have."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numba

from tinier_yolo.runtime.kernels.compile import parallel_kernel
from tinier_yolo.runtime.kernels.image import kernels as kernels_image
from tinier_yolo.runtime.kernels.lookup import kernels as kernels_lookup
from tinier_yolo.runtime.kernels.popcount import kernels
from tinier_yolo.runtime.kernels.rows import kernels as kernels_rows

#: Numba's threading layers that enter a parallel region in about a microsecond; its own workqueue takes a hundred.
_FAST_LAYERS = ("omp", "tbb")

#: The process that has started the threads: in a process forked from it GNU OpenMP ends the program.
_owner: int | None = None

_numba: Any = numba
_bits: Any = kernels
_image: Any = kernels_image
_lookup: Any = kernels_lookup
_rows: Any = kernels_rows


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


# Numba's cache never finds a function again that another function has made: so each wrapper is written out.


@parallel_kernel
def _convolve_pool(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _bits.convolve_pool(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _convolve(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _bits.convolve(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _convolve_affine(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _bits.convolve_affine(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _pool(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _bits.pool(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _convolve_image(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _image.convolve_image(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _pack_image(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _image.pack_image(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _convolve_lookup_pool(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _lookup.convolve_lookup_pool(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _convolve_lookup(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _lookup.convolve_lookup(*arguments, units * t // threads, units * (t + 1) // threads)


@parallel_kernel
def _convolve_rows(threads: int, units: int, *arguments: Any) -> None:
    for t in numba.prange(threads):
        _rows.convolve_rows(*arguments, units * t // threads, units * (t + 1) // threads)


#: For each kernel its twin on several threads: ``(threads, units, *arguments without the range)``.
PARALLEL: Mapping[Callable[..., None], Callable[..., None]] = {
    kernels.convolve_pool: _convolve_pool,
    kernels.convolve: _convolve,
    kernels.convolve_affine: _convolve_affine,
    kernels.pool: _pool,
    kernels_lookup.convolve_lookup_pool: _convolve_lookup_pool,
    kernels_lookup.convolve_lookup: _convolve_lookup,
    kernels_image.convolve_image: _convolve_image,
    kernels_image.pack_image: _pack_image,
    kernels_rows.convolve_rows: _convolve_rows,
}
