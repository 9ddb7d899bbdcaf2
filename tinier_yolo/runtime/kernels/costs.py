"""What the steps of the families' inner loops take on this machine, from which each family tells a layer's time.

The few numbers are measured once, by ``primitives.measure``, where kernels are compiled, and kept beside these. Until
then, and where nothing can be kept, the proportions are those of machines that are known. Only proportions matter: all
families give the same integers, and the quickest is chosen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinier_yolo.errors import OutputError
from tinier_yolo.files import atomic_write
from tinier_yolo.runtime.kernels.compile import cache_folder
from tinier_yolo.runtime.kernels.lookup.vectors import BITS, GROUPS
from tinier_yolo.runtime.kernels.popcount.vectors import COUNTS_WORDS
from tinier_yolo.runtime.kernels.vectors import target

#: How many times what is usual a measured proportion may be, or which part of it: a stall must not decide.
_FACTOR = 2.5
#: Nanoseconds of a slot, on any machine.
_SLOT_RANGE = (0.01, 100.0)
#: Bytes of a file that can be one of these.
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Costs:
    """Nanoseconds.

    Attributes:
        slot: a vector of 32 pixels added to another (``rows``), and the unit of what all families do besides.
        word: 32 bits of 16 filters compared in one window (``popcount``).
        lookup: 64 filters looked up in one window (``lookup``).
        pair: the same where 128 filters share the loads.
    """

    slot: float
    word: float
    lookup: float
    pair: float


def usual() -> Costs:
    """The proportions of a machine with these instructions; its slots take a nanosecond.

    AVX2, SSSE3 and plain x86-64 are those of a Zen 3 held back to them, in 2026, and AVX-512 those of a Zen 4.
    """
    wide = GROUPS == 2 and BITS > 0
    if wide:
        return Costs(1.0, 1.75 if COUNTS_WORDS else 5.0, *((2.7, 1.7) if BITS == 6 else (1.9, 1.9)))
    features = target()[1].split(",")
    if "+avx2" in features:
        return Costs(1.0, 6.2, 2.35, 2.35)
    return Costs(1.0, 7.0 if BITS else 11.5, 3.35, 3.35)


@cache
def costs() -> Costs:
    """Those of this machine as measured before, or the usual ones; the same as long as the process lives.

    ``costs.cache_clear()`` where another process may have measured since.
    """
    return stored() or usual()


def stored() -> Costs | None:
    """Those measured on this machine with these kernels; None where there are none that can be believed."""
    path = _path()
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return _checked(found)


def _checked(found: Any) -> Costs | None:
    if not isinstance(found, dict) or {name: found.get(name) for name in _about()} != _about():
        return None
    numbers = [found.get(field.name) for field in fields(Costs)]
    believed = [number for number in numbers if isinstance(number, float) and math.isfinite(number)]
    if len(believed) < len(numbers):
        return None
    given = Costs(*believed)
    return given if bounded(given) == given else None


def bounded(given: Costs) -> Costs:
    """Each proportion within a factor of the usual one; zero, infinite and not a number are the usual one."""
    known, slot = asdict(usual()), given.slot
    if not _SLOT_RANGE[0] <= slot <= _SLOT_RANGE[1]:
        slot = 1.0
    made = {"slot": slot}
    for name, value in asdict(given).items():
        if name != "slot":
            usually = known[name] * slot
            believed = value if 0 < value < math.inf else usually
            made[name] = min(max(believed, usually / _FACTOR), usually * _FACTOR)
    return Costs(**made)


def store(measured: Costs) -> None:
    """Keep them for other processes, where that can be done."""
    path = _path()
    if path is not None:
        with suppress(OutputError), atomic_write(path, "w", durable=False) as file:
            json.dump({**_about(), **asdict(bounded(measured))}, file, indent=1)
    costs.cache_clear()


def _path() -> Path | None:
    folder = cache_folder()
    # A folder may be shared by machines of several kinds.
    return None if folder is None else folder / f"costs-{sha256(_about()['cpu'].encode()).hexdigest()[:16]}.json"


def _about() -> Mapping[str, str]:
    folder = cache_folder()
    return {"cpu": " ".join(target()), "kernels": "" if folder is None else folder.name}
