"""Video files, streams and cameras: frames in, each with its time."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from importlib.util import find_spec
from typing import Self, TypeVar

from tinier_yolo.errors import MediaError, PathLike
from tinier_yolo.media.addresses import is_address, shown
from tinier_yolo.media.ahead import read_ahead
from tinier_yolo.media.captures import Capture, Frame, OpenCVCapture, check_file

#: Seconds that a camera or a stream may take for a frame.
CAMERA_TIMEOUT = 10.0
#: Frames of a file that wait for their reader: enough to even out what takes long now and then; memory for each.
FRAMES_AHEAD = 3

Made = TypeVar("Made")


class VideoReader:
    """The frames of a video file, a stream or a camera; a context manager.

    Files and streams are read by PyAV where it is installed, by OpenCV otherwise, which also reads the cameras.

    Args:
        source: the path of a file, an address such as ``rtsp://host/path``, or the number of a camera.
        timeout: seconds to wait for a frame of a camera or a stream.

    Attributes:
        fps: frames a second, as the source says, or as its time stamps do.
        frame_count: frames of a file, as its header says, so only about right; None where it says nothing.

    Raises:
        MediaError: the file is missing or no video, the camera is not there, or OpenCV would give black frames.
    """

    def __init__(self, source: PathLike | int, timeout: float = CAMERA_TIMEOUT) -> None:
        self._label = f"camera {source}" if isinstance(source, int) else shown(os.fspath(source))
        self._live = isinstance(source, int) or is_address(os.fspath(source))
        self._timeout = timeout
        self._reading = False
        if not isinstance(source, int) and not self._live:
            check_file(source)
        self._capture = _open(source, self._label, timeout)
        self.fps, self.frame_count = self._capture.fps, self._capture.frame_count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Once frames are read, the capture belongs to the thread that reads them.
        if not self._reading:
            self._capture.release()

    @property
    def damage(self) -> str:
        """What could not be decoded so far, in words; empty for a source in good order."""
        return self._capture.damage

    def frames(self) -> Generator[Frame]:
        """Each frame, RGB uint8 (height, width, 3); see :meth:`each`."""
        return self.each(lambda rgb: rgb)

    def each(self, prepare: Callable[[Frame], Made]) -> Generator[Made]:
        """What ``prepare`` makes of each frame, without the times; see :meth:`stamped`."""
        with closing(self.stamped(prepare)) as made:
            for _, item in made:
                yield item

    def stamped(self, prepare: Callable[[Frame], Made]) -> Generator[tuple[float, Made]]:
        """The time of each frame in seconds and what ``prepare`` makes of it, to the end; once.

        Frames are decoded and prepared in a thread, those of a file a few ahead of the caller. Close the generator to
        stop before the end.

        Args:
            prepare: called in that thread with RGB uint8 (height, width, 3).

        Raises:
            MediaError: not a single frame comes, or a camera's next one does not come in time.
            Exception: what ``prepare`` raises.
        """
        self._reading = True
        # A read of a camera that has gone to sleep may never return and cannot be cancelled, hence the timeout. Of its
        # frames one waits, so that the picture lags but little.
        depth, timeout = (1, self._timeout) if self._live else (FRAMES_AHEAD, None)
        try:
            with closing(read_ahead(self._in_turn(prepare), depth, timeout)) as made:
                yield from made
        except TimeoutError:
            raise MediaError("no frame", path=self._label, expected=f"one within {self._timeout:g} s") from None

    def one_by_one(self, prepare: Callable[[Frame], Made]) -> Generator[Made]:
        """As :meth:`each`, in the caller's thread: nothing is done ahead, and a camera is waited for without end.

        Raises:
            MediaError: not a single frame comes.
        """
        with closing(self._in_turn(prepare)) as made:
            for _, item in made:
                yield item

    def _in_turn(self, prepare: Callable[[Frame], Made]) -> Generator[tuple[float, Made]]:
        self._reading = True
        number = 0
        try:
            while (frame := self._capture.read()) is not None:
                yield frame.time, prepare(frame.rgb)
                number += 1
        finally:
            self._capture.release()
        if not number:
            raise MediaError("opens but gives no frame", path=self._label, found=self._capture.damage or None)


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def _open(source: PathLike | int, label: str, timeout: float) -> Capture:
    if isinstance(source, int):
        return OpenCVCapture(source, label)
    name = os.fspath(source)
    if has_pyav():
        from tinier_yolo.media.pyav import PyAVCapture

        return PyAVCapture(name, label, timeout)
    # An absolute path is no address, whatever colons are in it.
    return OpenCVCapture(name if is_address(name) else os.path.abspath(name), label)  # noqa: PTH100
