from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Generator

import pytest

from tinier_yolo.media.ahead import read_ahead, read_together


class Source:
    """Counts up to ``count``, then raises ``error`` if there is one; remembers what happened, and in which thread."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.count, self.error = count, error
        self.made, self.closed = 0, threading.Event()
        self.threads: set[threading.Thread] = set()

    def items(self) -> Generator[int]:
        try:
            while self.made < self.count:
                self.threads.add(threading.current_thread())
                self.made += 1
                yield self.made - 1
            if self.error:
                raise self.error
        finally:
            self.threads.add(threading.current_thread())
            self.closed.set()

    def ended(self) -> bool:
        """Whether the generator is closed and its one thread, not this one, is gone."""
        (thread,) = self.threads
        thread.join(10)
        return self.closed.is_set() and not thread.is_alive() and thread is not threading.current_thread()


def wait_for(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_all_items_come_in_order(depth: int) -> None:
    source = Source(50)
    assert list(read_ahead(source.items(), depth)) == list(range(50))
    assert source.ended()


def test_no_items() -> None:
    assert list(read_ahead(Source(0).items(), 2)) == []


def test_none_is_an_item() -> None:
    assert list(read_ahead((None for _ in range(3)), 2)) == [None] * 3


def test_items_are_made_while_the_caller_works_and_not_without_bound() -> None:
    source = Source(50)
    items = read_ahead(source.items(), 3)
    assert source.made == 0
    next(items)
    # One with the caller, three that wait, one that has no room.
    assert wait_for(lambda: source.made == 5)
    time.sleep(0.02)
    assert source.made == 5
    items.close()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_an_error_comes_after_the_items_before_it(error: BaseException, count: int) -> None:
    source = Source(count, error)
    found: list[int] = []
    with pytest.raises(type(error)) as raised:
        found.extend(read_ahead(source.items(), 2))
    assert raised.value is error
    assert found == list(range(count))
    assert source.closed.is_set()


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("timeout", [None, 5.0])
def test_closing_ends_the_thread_after_at_most_one_more(depth: int, timeout: float | None) -> None:
    source = Source(1000)
    items = read_ahead(source.items(), depth, timeout)
    next(items)
    assert wait_for(lambda: source.made == depth + 2)
    items.close()
    assert source.ended()
    assert source.made <= depth + 3


def test_without_a_timeout_closing_waits_for_the_thread() -> None:
    source = Source(1000)
    items = read_ahead(source.items(), 2)
    next(items)
    items.close()
    assert source.closed.is_set()


def test_dropping_it_ends_the_thread() -> None:
    source = Source(1000)
    items = read_ahead(source.items(), 2)
    next(items)
    del items
    gc.collect()
    assert source.ended()


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()])
def test_an_error_of_the_caller_ends_the_thread(error: BaseException) -> None:
    source = Source(1000)
    items = read_ahead(source.items(), 2)
    next(items)
    with pytest.raises(type(error)):
        items.throw(error)
    assert source.ended()


def test_an_error_while_closing_hangs_nothing() -> None:
    def items() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            raise ValueError("while closing")

    made = read_ahead(items(), 1)
    next(made)
    closing = threading.Thread(target=made.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_never_started_it_runs_nothing() -> None:
    source = Source(5)
    read_ahead(source.items(), 2).close()
    assert (source.made, source.threads) == (0, set())


def test_an_item_that_does_not_come_in_time_is_an_error_and_nobody_waits_for_the_thread() -> None:
    wakes, ended = threading.Event(), threading.Event()

    def items() -> Generator[int]:
        yield 1
        wakes.wait()
        ended.set()

    made = read_ahead(items(), 1, timeout=0.05)
    assert next(made) == 1
    with pytest.raises(TimeoutError, match=r"nothing within 0.05 s"):
        next(made)
    assert not ended.is_set()
    wakes.set()
    assert ended.wait(10)


def test_several_are_read_together_and_an_error_ends_one_alone() -> None:
    good, bad, other = Source(5), Source(2, ValueError("no more")), Source(7)
    found: dict[int, list[object]] = {0: [], 1: [], 2: []}
    for number, item in read_together([good.items(), bad.items(), other.items()]):
        found[number].append(item)
    assert found[0] == list(range(5))
    assert found[2] == list(range(7))
    assert found[1][:2] == [0, 1]
    assert str(found[1][2]) == "no more"


def test_leaving_ends_all_that_are_read_together() -> None:
    several = [Source(1000), Source(1000), Source(1000)]
    items = read_together([source.items() for source in several])
    next(items)
    items.close()
    assert all(source.closed.wait(10) for source in several)
