"""What the machine can do at most: the rates of the few instructions that most of the kernels' work is."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import llvmlite.binding
import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import cache_folder, kernel
from tinier_yolo.runtime.kernels.image.kernels import COLUMNS as _COLUMNS
from tinier_yolo.runtime.kernels.lookup.vectors import BITS
from tinier_yolo.runtime.kernels.packing import LANES
from tinier_yolo.runtime.kernels.popcount.vectors import BURST, COUNTS_WORDS
from tinier_yolo.runtime.kernels.primitives.kernels import count_words
from tinier_yolo.runtime.kernels.vectors import INT16X32, add, keep, load, pointer, store, target, zeros
from tinier_yolo.runtime.maps import aligned

#: Binary products in one xor, popcount and add: 16 filters, 32 bits.
PRODUCTS = 32 * LANES
_STEPS = 100_000


def popcount_peak(runs: int = 30) -> float:
    """Binary multiply-accumulates a second on one core, the best of ``runs`` runs; a map of k bits needs k for each."""
    words, source = aligned((9 * LANES,), np.int32), aligned((64,), np.uint8)
    words[:] = np.arange(words.size) * 2654435761 % (1 << 31)
    bursts = -(-_STEPS // BURST)
    best = _best(lambda: count_words(words, source, bursts, _STEPS), runs)
    return 4 * bursts * min(BURST, _STEPS) * PRODUCTS / best


@kernel
def _sweep(samples: NDArray[np.int16], rounds: int) -> None:
    # Four streams of loads and additions, from what the first-level cache holds.
    start = pointer(samples)
    s0 = s1 = s2 = s3 = zeros(INT16X32)
    for step in range(rounds):
        at = (step & 15) * 4 * _COLUMNS
        s0 = add(s0, load(INT16X32, start, at))
        s1 = add(s1, load(INT16X32, start, at + _COLUMNS))
        s2 = add(s2, load(INT16X32, start, at + 2 * _COLUMNS))
        s3 = add(s3, load(INT16X32, start, at + 3 * _COLUMNS))
    store(start, 0, add(add(s0, s1), add(s2, s3)))
    keep(samples)


def pattern_peak(runs: int = 30) -> float:
    """The first layer's multiply-accumulates a second on one core: a load and an addition do three for 32 pixels."""
    samples = aligned((16 * 4 * _COLUMNS,), np.int16)
    best = _best(lambda: _sweep(samples, _STEPS), runs)
    return 4 * _STEPS * 3 * _COLUMNS / best


def _best(run: Callable[[], None], runs: int) -> float:
    # The seconds of the quickest run, after one that compiles.
    best = float("inf")
    for _ in range(runs + 1):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def machine() -> dict[str, str]:
    """What decides the speed of the kernels: the CPU as LLVM knows it, what it counts and looks up, versions."""
    cpu, features = target()
    known = ("avx512vpopcntdq", "avx512f", "avx2", "neon")
    return {
        "cpu": cpu,
        "vectors": next((name for name in known if f"+{name}" in features.split(",")), "of that CPU"),
        "arch": platform.machine(),
        "counts": "32-bit words" if COUNTS_WORDS else "bytes",
        "looks_up": f"{BITS} bits" if BITS else "nothing",
        "numba": numba.__version__,
        "llvm": ".".join(map(str, llvmlite.binding.llvm_version_info)),
        "cache": str(cache_folder()),
    }
