"""Compilation: other processes compile the kernels of a program while this one goes on without them.

What is compiled is found in the folder of compiled kernels by every process on the machine. Beside it lie what was
measured of the machine, a mark for each set of kernels that is whole, so that nobody has to load kernels to find out,
and, while they are compiled, a lock: one process in a machine full of them has it done.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.compile import cache_folder, compiler
from tinier_yolo.runtime.kernels.costs import costs, stored
from tinier_yolo.runtime.kernels.vectors import target

#: Processes that share the kernels of a program: it has six, and two of them take half of the time.
_PROCESSES = 2
#: Seconds after which a lock counts no more, where nobody can tell whether its process is still there.
_STALE = 180.0


class Compilation:
    """Has the kernels of a program compiled, unless they are, or another process does so.

    Args:
        program: the program.
        height: of the images; other sizes may need other kernels.
        width: see ``height``.
        threads: whether the kernels on several threads are wanted.
    """

    def __init__(self, program: Program, height: int, width: int, threads: int) -> None:
        folder = cache_folder()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._mark = self._lock = None
        if folder is None or not _is_python():
            return  # Nothing would be found again, or nobody could do it: this process compiles for itself.
        self._program, self._how = program, (height, width, threads)
        name = self._name()
        self._mark, self._lock = folder / f"whole-{name}", folder / f"lock-{name}"
        if not (self._mark.exists() and stored()) and self._locked():
            self._start(program.to_bytes(), [str(number) for number in self._how])

    def is_done(self) -> bool:
        """Whether to go on with the kernels: they are compiled, or have to be compiled here."""
        if self._mark is None or self._mark.exists():
            return True
        if not self._processes:  # another one has them compiled
            return not _is_fresh(self._lock)
        codes = [process.poll() for process in self._processes]
        if None in codes:
            return False
        if not any(codes):
            costs.cache_clear()  # The machine has been measured: some layers may have got other kernels.
            with suppress(OSError):
                self._mark.with_name(f"whole-{self._name()}").touch()
        self._end()
        return True

    def _name(self) -> str:
        """Of the set of kernels that the program would run with."""
        return _digest(_kernels(self._program, *self._how))

    def _locked(self) -> bool:
        assert self._lock is not None, "there is a folder"
        if not _is_fresh(self._lock):
            with suppress(OSError):
                self._lock.unlink()
        try:
            with self._lock.open("x") as file:
                file.write(f"{os.getpid()} {_machine()}")
        except OSError:
            return False
        return True

    def _start(self, program: bytes, size: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        atexit.register(self._end)
        for part in range(_PROCESSES):
            command = [sys.executable, "-m", "tinier_yolo.runtime.background", str(part), *size]
            # Nothing of theirs is shown: a kernel that does not compile fails again in this process.
            try:
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            except OSError:  # no more processes, or no memory for one
                self._give_up()
                return
            self._processes.append(process)
            # It reads once Numba is loaded, and a pipe holds but a part of a program: pictures do not wait for that.
            threading.Thread(target=_feed, args=(process.stdin, program), daemon=True).start()

    def _give_up(self) -> None:
        """End what was started; the kernels are compiled in this process."""
        self._end()
        self._mark = None

    def _end(self) -> None:
        # Of the process that has the lock. What a process has compiled so far is kept.
        atexit.unregister(self._end)
        for process in self._processes:
            process.kill()
            process.wait()
        if self._lock is not None:
            with suppress(OSError):
                self._lock.unlink()


def _feed(pipe: IO[bytes], program: bytes) -> None:
    with suppress(OSError), pipe:  # the process has been ended
        pipe.write(program)


def _is_fresh(lock: Path | None) -> bool:
    try:
        return lock is not None and time.time() - lock.stat().st_mtime < _STALE and not _is_abandoned(lock.read_text())
    except (OSError, ValueError):
        return False


def _is_abandoned(owner: str) -> bool:
    """Whether the process that a lock names, ``PID MACHINE``, was one of this machine and has ended."""
    pid, _, machine = owner.partition(" ")
    if not machine or machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is there, and another user's
        return False
    return False


def _machine() -> str:
    """This machine's name; empty where the signal 0 would not ask but end a process."""
    return os.uname().nodename if hasattr(os, "uname") else ""


def _is_python() -> bool:
    """Whether the program that runs this one is Python itself, and not one that Python is built into."""
    return "python" in Path(sys.executable or "").name.lower() and not getattr(sys, "frozen", False)


def _kernels(program: Program, height: int, width: int, threads: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """The kernels, as they are chosen now, for images of this size by their names: each with arguments for nothing."""
    image, kernels = np.zeros((height, width, program.network.input.channels), np.uint8), {}
    for step in Engine(program, threads).plan(height, width).steps:
        arguments = (image, *step.arguments) if step.takes_image else step.arguments
        if threads > 1:
            kernels[_name(step.parallel)] = (step.parallel, (threads, 0, *arguments))
        else:
            kernels[_name(step.kernel)] = (step.kernel, (*arguments, 0, 0))
    return kernels


def _name(kernel: Any) -> str:
    return f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}"


def _digest(names: Any) -> str:
    about = [*sorted(names), compiler(), *target()]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]


def main(arguments: list[str]) -> None:
    """Compile a share of the kernels of the program that stands on stdin: ``PART HEIGHT WIDTH THREADS``."""
    part, height, width, threads = map(int, arguments)
    if hasattr(os, "nice"):
        os.nice(5)  # The pictures go first.
    program = Program.from_bytes(sys.stdin.buffer.read())
    kernels = _kernels(program, height, width, threads)
    # In the order of the layers: the first ones' kernels take about as long as the last ones'.
    for kernel, nothing in list(kernels.values())[part::_PROCESSES]:
        kernel(*nothing)
    if part == 0 and stored() is None:
        from tinier_yolo.runtime.kernels.primitives.measure import measure  # The process that waits does not need it.

        measure()
        further = _kernels(program, height, width, threads)
        for name in further.keys() - kernels.keys():
            kernel, nothing = further[name]
            kernel(*nothing)


if __name__ == "__main__":
    main(sys.argv[1:])
