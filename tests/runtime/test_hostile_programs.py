"""Hostile programs are refused, or run within their arrays, within the memory foretold, with the right result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.guard_pages import Guard

#: How many files are made: the whole fuzz is 1,000.
COUNT = int(os.environ.get("TINIER_YOLO_HOSTILE_PROGRAMS", "60"))

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: what leaves its arrays is ended by a signal.
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)


def test_hostile_programs_are_refused_or_run_in_their_bounds(root: Path) -> None:
    done = run(root, "-m", "tests.hostile_programs", str(COUNT))
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert sum(outcomes.values()) == COUNT
    assert outcomes["run"] > COUNT // 3, "hardly any of them gets as far as the kernels"
    assert outcomes["refused"] > 0


@pytest.mark.parametrize(("at_end", "offset"), [("True", 1000), ("False", -1)])
def test_guard_pages_end_a_process_that_leaves_its_array(root: Path, at_end: str, offset: int) -> None:
    code = (
        "import ctypes, numpy as np; from tests.guard_pages import Guard\n"
        f"a = Guard(at_end={at_end}).copy(np.zeros(1000, np.uint8))\n"
        "print(ctypes.string_at(a.ctypes.data, 1000) == bytes(1000), flush=True)\n"
        f"ctypes.string_at(a.ctypes.data + {offset}, 1)"
    )
    done = run(root, "-c", code)
    assert (done.stdout, done.returncode) == ("True\n", -signal.SIGSEGV)


def test_guards_see_a_write_into_what_alignment_leaves_over() -> None:
    guard = Guard(at_end=True)
    array = guard.aligned((60,), np.uint8)
    guard.check()
    np.lib.stride_tricks.as_strided(array, (61,))[60] = 1
    with pytest.raises(AssertionError, match="a write beside an array"):
        guard.check()
