"""A window that shows pictures, where there is a display."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"
_QUIT_KEYS = (ord("q"), 27)


def has_display() -> bool:
    """Whether a window can be opened.

    It is tried in a process of its own: without a display some toolkits do not raise, they end the process.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


class Window:
    """A window; open it only where :func:`has_display` is true."""

    def __init__(self, title: str = "tinier-yolo") -> None:
        self._title = title

    def show(self, rgb: NDArray[np.uint8], wait: bool) -> bool:
        """Show a picture.

        Args:
            rgb: uint8 (height, width, 3).
            wait: until a key is pressed or the window is closed; otherwise just long enough to draw.

        Returns:
            False where the user wants no more: q, Escape, or the window closed.
        """
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        cv2.imshow(self._title, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(50 if wait else 1)
        while wait and key < 0 and self._is_open():
            key = cv2.waitKey(50)
        return self._is_open() and key & 0xFF not in _QUIT_KEYS

    def _is_open(self) -> bool:
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window, if it is open."""
        cv2.destroyAllWindows()
