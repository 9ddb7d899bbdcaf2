from __future__ import annotations

import subprocess

import cv2
import numpy as np
import pytest

from tinier_yolo.media import display
from tinier_yolo.media.display import Window, has_display

PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_without_a_display_variable_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("tried"))
    assert not has_display()


def test_a_display_that_is_not_there_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # Qt aborts here: the probe dies in our place.
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_display()


@pytest.mark.parametrize(
    ("keys", "visible", "wait", "wants_more"),
    [
        ([-1], 1, False, True),
        ([ord("q")], 1, False, False),
        ([-1, -1, 27], 1, True, False),
        ([-1, 32], 1, True, True),
        ([-1], 0, True, False),
    ],
)
def test_keys_and_the_closed_window(
    keys: list[int], visible: float, wait: bool, wants_more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed = iter(keys)
    for name in ("namedWindow", "imshow", "destroyAllWindows"):
        monkeypatch.setattr(cv2, name, lambda *_: None)
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(pressed))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible)
    window = Window()
    assert window.show(PICTURE, wait) is wants_more
    window.close()
