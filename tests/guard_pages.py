"""Arrays with a page behind them, and one before, that nobody may touch: an access beyond ends the process.

Kernels take addresses out of arrays and check nothing, and what stands beside an array is mostly another one: a read or
a write that is a little off goes unnoticed. Here it does not.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

_PAGE = mmap.PAGESIZE
_FILLER = 0xAA


class Guard:
    """While it is entered, whatever the runtime allocates for maps, weights and results is guarded.

    Args:
        at_end: arrays end where the page behind them begins; else they begin where the page before them ends.
    """

    def __init__(self, at_end: bool) -> None:
        self._at_end = at_end
        self._patches = pytest.MonkeyPatch()
        self._slack: list[NDArray[np.uint8]] = []
        self._ranges: list[tuple[int, int]] = []

    def __enter__(self) -> Guard:
        for name, module in list(sys.modules.items()):
            if name.startswith("tinier_yolo.runtime") and hasattr(module, "aligned"):
                self._patches.setattr(module, "aligned", self.aligned)
        return self

    def __exit__(self, *problem: object) -> None:
        self._patches.undo()
        self.check()

    def check(self) -> None:
        """Raise an AssertionError where somebody has written into what alignment leaves over beside an array."""
        for slack in self._slack:
            assert (slack == _FILLER).all(), "a write beside an array"

    def aligned(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        """The runtime's function of this name: zeros whose first byte is at a multiple of 64."""
        return self._make(int(np.prod(shape)) * np.dtype(kind).itemsize, 64).view(kind).reshape(shape)

    def copy(self, array: NDArray[Any]) -> NDArray[Any]:
        """A guarded copy."""
        if not array.size or self._has(array):
            return array
        made = self._make(array.nbytes, array.itemsize).view(array.dtype).reshape(array.shape)
        made[...] = array
        return made

    def arguments(self, plan: Any) -> Any:
        """A plan with copies of all arrays that its kernels get and that are not guarded yet."""
        steps = tuple(replace(step, arguments=self._copied(step.arguments)) for step in plan.steps)
        return replace(plan, steps=steps)

    def _copied(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.copy(value)
        if isinstance(value, tuple):
            items = [self._copied(item) for item in value]
            return value._make(items) if hasattr(value, "_make") else tuple(items)
        return value

    def _has(self, array: NDArray[Any]) -> bool:
        return any(start <= array.ctypes.data < end for start, end in self._ranges)

    def _make(self, size: int, alignment: int) -> NDArray[np.uint8]:
        pages = max(1, -(-size // _PAGE))
        memory = np.frombuffer(mmap.mmap(-1, (pages + 2) * _PAGE), np.uint8)
        start, end = memory.ctypes.data, memory.ctypes.data + (pages + 1) * _PAGE
        for page in (start, end):
            assert _mprotect(page, _PAGE, 0) == 0
        self._ranges.append((start, end))
        room = memory[_PAGE : (pages + 1) * _PAGE]
        first = len(room) - -(-size // alignment) * alignment if self._at_end else 0
        for slack in (room[:first], room[first + size :]):
            slack[:] = _FILLER
            self._slack.append(slack)
        return room[first : first + size]


def _mprotect(address: int, size: int, protection: int) -> int:
    function = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return int(function(address, size, protection))
