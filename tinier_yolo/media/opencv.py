"""OpenCV without its chatter: what goes wrong is told once, by us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

# FFmpeg inside OpenCV writes to stderr by itself; it reads this variable when it is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# OpenCV 4.9 has setLogLevel at its top level.
_LOGGING: Any = getattr(cv2.utils, "logging", cv2)
_SILENT = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV's log in the body."""
    before = _LOGGING.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _LOGGING.setLogLevel(before)
