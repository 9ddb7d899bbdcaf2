"""The lock of the process that has kernels compiled: whom it keeps away, and for how long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinier_yolo.runtime import background
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


def test_where_no_process_can_be_started_this_one_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(background.subprocess, "Popen", refuse)
    compilation = Compilation.__new__(Compilation)
    compilation._processes, compilation._lock, compilation._mark = [], tmp_path / "lock", tmp_path / "mark"
    assert compilation._locked()
    compilation._start(b"", [])
    assert compilation.is_done()
    assert not (tmp_path / "lock").exists()


def test_feeding_a_process_that_does_not_read_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compilation = Compilation.__new__(Compilation)
    compilation._processes, compilation._lock, compilation._mark = [], tmp_path / "lock", tmp_path / "mark"
    real = subprocess.Popen
    sleeping = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(background.subprocess, "Popen", lambda _, **how: real(sleeping, **how))
    begun = time.monotonic()
    compilation._start(bytes(1 << 20), [])
    assert not compilation.is_done()
    compilation._end()
    assert time.monotonic() - begun < 30  # of the 60 that the processes sleep
