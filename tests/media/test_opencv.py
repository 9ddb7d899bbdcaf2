from __future__ import annotations

import threading

import pytest

from tinier_yolo.media import opencv
from tinier_yolo.media.opencv import quiet


class Log:
    """Stands for cv2.utils.logging."""

    def __init__(self) -> None:
        self.level = 3

    def setLogLevel(self, level: int) -> int:  # noqa: N802 (OpenCV's name)
        before, self.level = self.level, level
        return before


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(opencv, "_LOGGING", log)
    return log


def test_the_level_comes_back(log: Log) -> None:
    for error in (None, ValueError()):
        try:
            with quiet():
                assert log.level == 0
                if error:
                    raise error
        except ValueError:
            pass
        assert log.level == 3


def test_the_level_comes_back_when_two_threads_leave_in_the_order_they_came(log: Log) -> None:
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with quiet():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with quiet():
        leave.set()
        thread.join()
        assert log.level == 0
    assert log.level == 3
