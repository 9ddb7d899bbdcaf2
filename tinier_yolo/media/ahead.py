"""Items made ahead: a generator runs in a thread of its own while the caller is busy with what it gave before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

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


def read_together(several: Sequence[Generator[Item]]) -> Generator[tuple[int, Item | BaseException]]:
    """The items of several generators as they come, each made in a thread of its own; none waits for another.

    Yields:
        The number of a generator and an item of it, or the error that ended it.
    """
    waiting: queue.Queue[tuple[int, Item | _End]] = queue.Queue(1)
    stopped = threading.Event()
    for number, items in enumerate(several):
        own = _Tagged(number, waiting, stopped)
        threading.Thread(target=_pump, args=(items, own, stopped), daemon=True).start()
    running = len(several)
    try:
        while running:
            number, item = waiting.get()
            if not isinstance(item, _End):
                yield number, item
                continue
            running -= 1
            if item.error is not None:
                yield number, item.error
    finally:
        stopped.set()  # The threads are not waited for, as a stream may hang.


class _Tagged(Generic[Item]):
    """The end of a shared queue into which one generator's items go."""

    def __init__(self, number: int, shared: queue.Queue[tuple[int, Item | _End]], stopped: threading.Event) -> None:
        self._number, self._shared, self._stopped = number, shared, stopped

    def put(self, item: Item | _End) -> None:
        # Of several that wait, nobody knows how many would have to be let through at the end.
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._shared.put((self._number, item), timeout=0.1)
                return


def _next(waiting: queue.Queue[Item | _End], timeout: float | None) -> Item | _End:
    try:
        return waiting.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"nothing within {timeout} s") from None


def _pump(items: Generator[Item], waiting: queue.Queue[Item | _End] | _Tagged[Item], stopped: threading.Event) -> None:
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
