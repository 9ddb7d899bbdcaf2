"""The primitives, timed: some milliseconds in all, once for a machine and its kernels."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tinier_yolo.runtime.kernels.costs import Costs, bounded, store, usual
from tinier_yolo.runtime.kernels.lookup.vectors import BITS, ENTRIES, GROUPS, TOTALS
from tinier_yolo.runtime.kernels.packing import LANES
from tinier_yolo.runtime.kernels.popcount.vectors import BURST
from tinier_yolo.runtime.kernels.primitives.kernels import add_slots, count_words, look_up, look_up_twice
from tinier_yolo.runtime.maps import aligned

#: Runs of each primitive, the best of which counts: of 7 microseconds on a Zen 3, since a call takes a third of one.
_RUNS = 60
_WORDS, _TAPS, _TERMS = 1000, 20, 12
_LOOKUP_BURSTS, _ROUNDS = 160, 200
#: Bytes of a slot.
_SLOT = 64


def measure() -> Costs:
    """What the primitives take here; kept for other processes, unless nothing can be."""
    usually = usual()
    runs: dict[str, tuple[Callable[[], None], int]] = {"slot": _slots(), "word": _words()}
    if BITS:
        runs["lookup"] = _lookups(look_up, 1)
        if GROUPS == 2:
            runs["pair"] = _lookups(look_up_twice, 2)
    best = _best(runs)
    lookup = best.get("lookup", usually.lookup * best["slot"])
    found = bounded(Costs(best["slot"], best["word"], lookup, best.get("pair", lookup)))
    store(found)
    return found


def _best(runs: dict[str, tuple[Callable[[], None], int]]) -> dict[str, float]:
    # Nanoseconds of each primitive. In turns: what disturbs one disturbs the others.
    best = {name: float("inf") for name in runs}
    for run, _ in runs.values():
        run()  # It is compiled.
    for _ in range(_RUNS):
        for name, (run, count) in runs.items():
            start = time.perf_counter_ns()
            run()
            best[name] = min(best[name], (time.perf_counter_ns() - start) / count)
    return best


def _words() -> tuple[Callable[[], None], int]:
    words, source = aligned((9 * LANES,), np.int32), aligned((64,), np.uint8)
    steps = min(BURST, _WORDS)
    bursts = _WORDS // steps
    return lambda: count_words(words, source, bursts, steps), bursts * steps * 4


def _lookups(kernel: Callable[..., None], groups: int) -> tuple[Callable[[], None], int]:
    indices, tables = aligned((2 * _TAPS * 64,), np.uint8), aligned(((_TAPS + 4) * ENTRIES,), np.uint8)
    taps, totals = np.append(np.arange(_TAPS) * ENTRIES, -1).astype(np.int32), aligned((2 * TOTALS,), np.uint16)
    return lambda: kernel(indices, tables, taps, totals, _LOOKUP_BURSTS), _LOOKUP_BURSTS * _TAPS * 4 * groups


def _slots() -> tuple[Callable[[], None], int]:
    slots = aligned((2 * (3 * _TERMS * _SLOT + _SLOT),), np.uint8)
    terms = (np.arange(3 * _TERMS).reshape(_TERMS, 3) * _SLOT << 16 * np.arange(3)).sum(axis=1)
    return lambda: add_slots(slots, terms, _ROUNDS), _ROUNDS * _TERMS * 12
