"""What the process needs around a verb: three open streams, silent libraries, and signals that end it in good order."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Terminated(KeyboardInterrupt):
    """The process was told to end by a signal other than Ctrl-C's: what is being written is ended or removed.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def open_standard_streams() -> None:
    """Put something in the place of standard streams that are closed.

    Otherwise the next file that is opened gets their number, and what is meant for them. Whoever writes to a closed
    stdout is told: results shall not get lost; messages may. Stdout takes every name, with escapes where it must.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names that the terminal's encoding cannot express are no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Let only Python write to stderr in the body.

    libjpeg, libpng and FFmpeg write to descriptor 2 whatever OpenCV's log level is. Python's stderr gets a descriptor
    of its own, and number 2 leads nowhere.
    """
    stream = sys.__stderr__
    if stream is None or sys.stderr is not stream or stream.fileno() != 2:
        yield  # Somebody has put a stream of their own there.
        return
    stream.flush()
    own, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = open(own, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace")  # noqa: PTH123, SIM115
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(own, 2)
        sys.stderr.close()
        sys.stderr = stream


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise :class:`Terminated` where a signal would end the process at once; those that are ignored stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        # Once: a second one shall not interrupt the tidying up.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
