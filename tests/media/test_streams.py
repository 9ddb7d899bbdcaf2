from __future__ import annotations

import numpy as np
import pytest

from tinier_yolo.errors import MediaError
from tinier_yolo.media import streams, video
from tinier_yolo.media.captures import Stamped
from tinier_yolo.media.streams import StreamReader

ADDRESS = "rtsp://me:secret@host/stream"


class FakeStream:
    """A stream that gives some frames each time it is opened; one without a length has no end."""

    fps, damage = 10.0, ""

    def __init__(self, frames: list[int], length: int | None = None) -> None:
        self.frames, self.frame_count = frames, length
        self.left = 0

    def read(self) -> Stamped | None:
        if self.left == 0:
            self.left = self.frames.pop(0) + 1
        self.left -= 1
        return Stamped(0.0, np.zeros((32, 32, 3), np.uint8)) if self.left else None

    def release(self) -> None:
        self.left = 0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; nobody waits."""
    made: list[float] = []
    monkeypatch.setattr(streams.time, "sleep", made.append)
    return made


def opened(monkeypatch: pytest.MonkeyPatch, frames: list[int], length: int | None = None) -> None:
    stream = FakeStream(frames, length)

    def open_again(*_: object) -> FakeStream:
        if not stream.frames:
            raise MediaError("not a video that can be read", path="rtsp://host/stream")
        return stream

    monkeypatch.setattr(video, "_open", open_again)


def test_a_stream_that_breaks_off_is_connected_again(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    opened(monkeypatch, [2, 3, 1])
    told: list[str] = []
    reader = StreamReader(ADDRESS, told.append)
    found = []
    with pytest.raises(MediaError, match=r"rtsp://me:\*\*\*@host/stream: given up after 10 tries"):
        found.extend(reader.stamped(lambda rgb: rgb.shape))
    assert len(found) == 6
    # Frames start the row of pauses anew.
    assert pauses == [1, 1, *streams.PAUSES]
    assert told[0] == "rtsp://me:***@host/stream: the stream has ended; trying again in 1 s"
    times = [time for time, _ in found]
    assert times == sorted(times)


def test_a_stream_that_opens_and_gives_nothing_does_not_spin(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    opened(monkeypatch, [1, *[0] * 50])
    with pytest.raises(MediaError, match="given up"):
        list(StreamReader(ADDRESS, lambda _: None).frames())
    assert pauses == list(streams.PAUSES)


def test_what_has_an_end_is_read_once(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    opened(monkeypatch, [4, 4], length=4)
    assert len(list(StreamReader(ADDRESS, lambda _: None).frames())) == 4
    assert not pauses


def test_an_address_that_does_not_open_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, [])
    with pytest.raises(MediaError, match="not a video that can be read"):
        StreamReader(ADDRESS, lambda _: None)
