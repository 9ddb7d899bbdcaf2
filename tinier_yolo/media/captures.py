"""Where frames come from: what a capture is, and OpenCV's, for cameras and where PyAV is not installed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, PathLike
from tinier_yolo.media.addresses import is_address
from tinier_yolo.media.opencv import quiet

#: Used where a camera or a file does not say, or says nonsense.
DEFAULT_FPS = 25.0
#: Above it a frame rate is measured: browsers and phones write the clock of their time stamps there.
TRUSTED_FPS = 120.0
#: What to install where OpenCV does not do.
CURE = "pip install av"
#: Frames that are tried in advance for whether OpenCV converts them.
_PROBED = 50
_PROBE = f"import cv2, sys; c = cv2.VideoCapture(sys.argv[1]); all(c.read()[0] for _ in range({_PROBED}))"

Frame = NDArray[np.uint8]


class Stamped(NamedTuple):
    """A frame and its time.

    Attributes:
        time: seconds since the beginning of the file, or since the first frame of a camera or a stream.
        rgb: uint8 (height, width, 3).
    """

    time: float
    rgb: Frame


class Capture(Protocol):
    """An open source of frames; used by one thread at a time.

    Attributes:
        fps: frames a second.
        frame_count: frames of a file, about; None where there is no end or nothing is said of it.
        damage: what could not be decoded, in words; empty for a source in good order.
    """

    fps: float
    frame_count: int | None
    damage: str

    def read(self) -> Stamped | None:
        """The next frame, in memory of its own; None at the end."""

    def release(self) -> None:
        """Close the source."""


class OpenCVCapture:
    """A camera, a file or an address, read by OpenCV; see :class:`Capture`.

    Raises:
        MediaError: it cannot be opened, or OpenCV cannot convert its frames.
    """

    def __init__(self, source: str | int, label: str) -> None:
        self._live = isinstance(source, int) or is_address(source)
        self._capture = _open(source, label)
        if not self._live:
            _refuse_unconverted(str(source), label)
        self.damage = ""
        self.fps = self._rate(source, label)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # A live stream has none, a file on a web server has.
        self.frame_count = int(count) if not isinstance(source, int) and count > 0 else None
        self._bgr: Frame | None = None
        self._number, self._start, self._last = 0, 0.0, 0.0

    def read(self) -> Stamped | None:
        """See :class:`Capture`."""
        with quiet():
            # Into the memory of the frame before, as nobody else has it: fresh memory costs time for its pages.
            ok, bgr = self._capture.read(self._bgr)
        if not ok:
            return None
        self._bgr = np.asarray(bgr, np.uint8)
        stamped = Stamped(self._time(), np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2RGB), np.uint8))
        self._number += 1
        return stamped

    def release(self) -> None:
        """See :class:`Capture`."""
        self._capture.release()

    def _rate(self, source: str | int, label: str) -> float:
        told = plausible_fps(self._capture.get(cv2.CAP_PROP_FPS))
        if self._live or told <= TRUSTED_FPS:
            return told
        # Of a second capture, as a file cannot always be wound back.
        capture = _open(source, label)
        times: list[float] = []
        with quiet():
            while len(times) < _PROBED and capture.grab():
                times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        capture.release()
        return measured_fps(times)

    def _time(self) -> float:
        if self._live:
            now = time.monotonic()
            self._start = self._start if self._number else now
            return now - self._start
        position = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        # Raw streams have no time stamps: their position stays where it is.
        if self._number and not position > self._last:
            position = self._last + 1 / self.fps
        self._last = position
        return position


def plausible_fps(fps: float) -> float:
    """The rate, or the usual one where it is nonsense."""
    return fps if math.isfinite(fps) and 0.1 <= fps <= 1000 else DEFAULT_FPS


def measured_fps(times: list[float]) -> float:
    """The rate of frames at these times, in seconds and in any order."""
    span = max(times) - min(times) if times else 0.0
    return plausible_fps((len(times) - 1) / span) if span > 0 else DEFAULT_FPS


def check_file(path: PathLike) -> None:
    """Find out whether a video file can be opened at all.

    Raises:
        MediaError: it is missing, empty, or no file.
    """
    try:
        with Path(path).open("rb") as file:
            empty = not file.read(1)
    except (OSError, ValueError) as error:
        raise MediaError("cannot read the video", path=path, found=getattr(error, "strerror", None) or error) from error
    if empty:
        raise MediaError("an empty file, not a video", path=path)


def _open(source: str | int, label: str) -> cv2.VideoCapture:
    with quiet():
        capture = cv2.VideoCapture()
        # A number beyond any camera's is an error of its own in OpenCV's binding.
        with suppress(cv2.error):
            capture.open(source)
    if not capture.isOpened():
        problem = "no such camera, or it is in use" if isinstance(source, int) else "not a video that can be read"
        raise MediaError(problem, path=label)
    return capture


def _refuse_unconverted(path: str, label: str) -> None:
    # OpenCV 4.13 and later convert no interlaced frames, and hand out whatever is in their memory (mostly black) as if
    # nothing were wrong. Only FFmpeg's log tells, and the log is the process's: hence a process that has one to itself.
    environment = {**os.environ, "OPENCV_FFMPEG_LOGLEVEL": "16"}
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, path], capture_output=True, timeout=60, check=False, env=environment
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    if b"Cannot convert" in probe.stdout + probe.stderr:
        problem = "OpenCV cannot convert the frames of this video, which is interlaced as it seems"
        raise MediaError(problem, path=label, expected=f"PyAV, which can: {CURE}")
