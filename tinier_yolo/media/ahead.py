"""Items made ahead: a generator runs in a thread of its own while the caller is busy with what it gave before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    """What stands after the last item: the error that ended them, if one did."""

    error: BaseException | None


def read_ahead(items: Generator[Item], depth: int, timeout: float | None = None) -> Generator[Item]:
    """The items of a generator, in order and all of them, made in a thread while the caller works.

    It pays where making an item leaves Python's lock free, as OpenCV's decoders do. The thread runs the generator from
    its first statement to its ``finally``, so what the generator owns is used by one thread only. It ends with the
    items, or at most one item after this generator is closed or dropped.

    Args:
        items: the generator.
        depth: how many items may wait; the thread holds one more, and makes another.
        timeout: seconds that an item may take; None where it always comes in the end. With a timeout the thread is not
            waited for either: if it hangs it is left behind.

    Raises:
        TimeoutError: an item took longer.
        BaseException: what the generator raises, after the items before it.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(depth)
    stopped = threading.Event()
    # A daemon: the interpreter shall not wait at its end for a camera that hangs.
    thread = threading.Thread(target=_pump, args=(items, waiting, stopped), daemon=True)
    thread.start()
    try:
        while not isinstance(item := _next(waiting, timeout), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        with suppress(queue.Empty):  # Makes room for a put that waits; after it comes at most one more.
            waiting.get_nowait()
        if timeout is None:
            thread.join()


def _next(waiting: queue.Queue[Item | _End], timeout: float | None) -> Item | _End:
    try:
        return waiting.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"nothing within {timeout} s") from None


def _pump(items: Generator[Item], waiting: queue.Queue[Item | _End], stopped: threading.Event) -> None:
    error: BaseException | None = None
    try:
        with closing(items):
            for item in items:
                waiting.put(item)
                if stopped.is_set():
                    return
    except BaseException as problem:  # It is raised where the items are used.
        error = problem
    if not stopped.is_set():
        waiting.put(_End(error))
