"""The lock of the process that has kernels compiled: whom it keeps away, and for how long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinier_yolo.runtime.background import Compilation, _is_fresh

pytestmark = pytest.mark.skipif(not hasattr(os, "uname"), reason="elsewhere a lock is stale by its age alone")


def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def locking(lock: Path) -> bool:
    """Whether the lock can be had."""
    compilation = Compilation.__new__(Compilation)
    compilation._lock = lock
    return compilation._locked()


def test_a_lock_is_held_while_its_process_lives(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not _is_fresh(lock)
    assert locking(lock)
    assert lock.read_text().startswith(f"{os.getpid()} ")
    assert _is_fresh(lock)
    assert not locking(lock)


def test_the_lock_of_a_process_that_was_killed_is_stale_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(f"{ended()} {os.uname().nodename}")
    assert not _is_fresh(lock)
    assert locking(lock)
    assert lock.read_text().startswith(f"{os.getpid()} ")


@pytest.mark.parametrize("owner", ["", "nonsense", "{} another-machine", f"{10**30} {os.uname().nodename}", "\udcff"])
def test_a_lock_of_nobody_known_goes_by_its_age(tmp_path: Path, owner: str) -> None:
    lock = tmp_path / "lock"
    lock.write_bytes(os.fsencode(owner.format(ended())))
    assert _is_fresh(lock) == (owner != "\udcff")  # no text: no lock of ours
    os.utime(lock, (1, 1))
    assert not _is_fresh(lock)
    assert locking(lock)
