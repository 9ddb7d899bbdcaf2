"""What the machine can do at most: the rate of the kernels' three instructions with everything in registers."""

from __future__ import annotations

import time

import llvmlite.binding
import numba
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels_cache import cache_folder, kernel
from tinier_yolo.runtime.kernels_vectors import add, add_mismatches, load, store, zeros
from tinier_yolo.runtime.packing import LANES, aligned

#: Binary products in one xor, popcount and add: 16 filters, 32 bits.
PRODUCTS = 32 * LANES
_STEPS = 100_000


@kernel
def _spin(words: NDArray[np.int32], source: NDArray[np.uint8], steps: int) -> None:
    s0, s1, s2, s3 = zeros(), zeros(), zeros(), zeros()
    for step in range(steps):
        w = load(words, (step & 7) * 16)
        s0 = add_mismatches(s0, w, source, 0)
        s1 = add_mismatches(s1, w, source, 4)
        s2 = add_mismatches(s2, w, source, 8)
        s3 = add_mismatches(s3, w, source, 12)
    store(words, 128, add(add(s0, s1), add(s2, s3)))


def popcount_peak(runs: int = 30) -> float:
    """Binary multiply-accumulates a second on one core, the best of ``runs`` runs; a map of k bits needs k for each."""
    words, source = aligned((9 * LANES,), np.int32), aligned((64,), np.uint8)
    words[:] = np.arange(words.size) * 2654435761 % (1 << 31)
    best = float("inf")
    for _ in range(runs + 1):
        start = time.perf_counter()
        _spin(words, source, _STEPS)
        best = min(best, time.perf_counter() - start)
    return 4 * _STEPS * PRODUCTS / best


def machine() -> dict[str, str]:
    """What decides the speed of the kernels: the CPU as LLVM knows it, its vector popcount, versions, the cache."""
    features = llvmlite.binding.get_host_cpu_features()
    known = ("avx512vpopcntdq", "avx512f", "avx2", "neon")
    return {
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "vectors": next((name for name in known if features.get(name)), "none known"),
        "numba": numba.__version__,
        "llvm": ".".join(map(str, llvmlite.binding.llvm_version_info)),
        "cache": str(cache_folder()),
    }
