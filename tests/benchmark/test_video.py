"""What is measured on a video, not how fast it is."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import small_ifq
from tinier_yolo.benchmark import video as benchmark
from tinier_yolo.benchmark.video import time_video
from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.detector import Detector, Prepared
from tinier_yolo.errors import MediaError
from tinier_yolo.media.video_writer import VideoWriter

NETWORK = Network.parse(small_ifq.CFG).resized(64, 32)


class SlowEngine:
    """Finds the same in every image, and takes its time."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, image: NDArray[np.uint8], /) -> NDArray[np.float32]:
        self.runs += 1
        assert image.shape == (32, 64, 3)
        time.sleep(0.02)
        output = np.full((12, 1, 2), -9, np.float32)
        output[4] = 9
        return output


def write(path: Path, frames: int) -> None:
    with VideoWriter(path, 25, (80, 48)) as writer:
        for _ in range(frames):
            writer.write(np.zeros((48, 80, 3), np.uint8))


def test_the_parts_of_a_frame(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", 4)
    found = time_video(tmp_path / "clip.mp4", SlowEngine(), NETWORK, ("face",), 0)
    assert (found.width, found.height, found.frames) == (80, 48, 4)
    assert found.detections % 4 == 0
    assert found.detections > 0
    assert list(found.milliseconds) == ["decode", "letterbox", "network", "postprocess"]
    assert all(value > 0 for value in found.milliseconds.values())
    assert found.milliseconds["network"] >= 20
    assert 0 < found.frames_per_second <= 50


def test_the_limit_is_decoding_and_letterboxing_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "clip.mp4", 4)
    prepare = Detector.prepare

    def slow(detector: Detector, rgb: NDArray[np.uint8]) -> Prepared:
        time.sleep(0.01)
        return prepare(detector, rgb)

    monkeypatch.setattr(Detector, "prepare", slow)
    engine = SlowEngine()
    found = time_video(tmp_path / "clip.mp4", engine, NETWORK, ("face",), 0)
    assert found.milliseconds["letterbox"] >= 10
    assert found.limit <= 100
    # Once to warm up, then in one pass of two.
    assert engine.runs == 1 + benchmark.PASSES * 4


def test_a_long_video_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "clip.mp4", 4)
    monkeypatch.setattr(benchmark, "FRAMES", 3)
    assert time_video(tmp_path / "clip.mp4", SlowEngine(), NETWORK, ("face",), 0).frames == 3


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    with pytest.raises(MediaError, match="not a video"):
        time_video(tmp_path / "clip.mp4", SlowEngine(), NETWORK, ("face",), 0)
