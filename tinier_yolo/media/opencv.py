"""OpenCV without its chatter: what goes wrong is told once, by us."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

# FFmpeg inside OpenCV writes to stderr by itself; it reads this variable when it is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

#: Of OpenCV.
OPENCV_VERSION: str = cv2.__version__
# OpenCV 4.9 has setLogLevel at its top level.
_LOGGING: Any = getattr(cv2.utils, "logging", cv2)
_SILENT = 0
_lock = threading.Lock()
#: How many bodies are in :func:`quiet` now, and the level before the first.
_bodies, _before = 0, _SILENT


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV's log, which is the process's, in the body; of several threads in here the last one ends it."""
    global _bodies, _before
    with _lock:
        if _bodies == 0:
            _before = _LOGGING.setLogLevel(_SILENT)
        _bodies += 1
    try:
        yield
    finally:
        with _lock:
            _bodies -= 1
            if _bodies == 0:
                _LOGGING.setLogLevel(_before)
