"""Many pictures through a detector: in their order, each detector in one thread, nothing lost and nothing kept."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import red_detector
from tests.eval.fakes import BrightDetector, draw
from tinier_yolo.bulk.local import Found, cores, detect_frames, detect_image, detect_images, in_threads
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.detector import Detector
from tinier_yolo.errors import MediaError, UsageError
from tinier_yolo.media.video import VideoReader
from tinier_yolo.media.video_writer import VideoWriter


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.jpg" for n in range(12)]
    for n, path in enumerate(paths):
        draw(path, (40 + n, 30), (5, 5, 15, 20, 100 + 10 * n))
    return paths


def test_an_image(images: list[Path]) -> None:
    found = detect_image(images[3], BrightDetector())
    assert found.size == (43, 30)
    assert found.detections.boxes.tolist() == [[5, 5, 15, 20]]
    assert found.seconds > 0
    assert found.rgb is None
    kept = detect_image(images[3], BrightDetector(), keep=True).rgb
    assert kept is not None
    assert kept.shape == (30, 43, 3)
    assert len(detect_image(images[3], BrightDetector(), thresh=140 / 255).detections) == 0


def test_images_are_in_their_order_and_a_bad_one_does_not_stop_the_others(images: list[Path]) -> None:
    images[4].write_bytes(b"")
    found = detect_images(images, BrightDetector, workers=3)
    assert isinstance(found[4], MediaError)
    assert [entry.size[0] for entry in found if isinstance(entry, Found)] == [40 + n for n in range(12) if n != 4]


def test_frames(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 25, (128, 128)) as writer:
        for number in range(5):
            left = 32 * (number % 4)
            writer.write(red_detector.picture((128, 128), (left, 32, left + 32, 64)))
    red_detector.write_model(tmp_path)
    detector = Detector.load(tmp_path / "red.weights", tmp_path / "red.cfg")
    for keep in (False, True):
        with VideoReader(tmp_path / "clip.mp4") as reader:
            found = list(detect_frames(reader, detector, keep=keep))
        assert [round(float(entry.detections.boxes[0, 0])) for entry in found] == [0, 32, 64, 96, 0]
        assert {entry.size for entry in found} == {(128, 128)}
        assert [entry.rgb is not None for entry in found] == [keep] * 5
    with VideoReader(tmp_path / "clip.mp4") as reader, closing(detect_frames(reader, detector)) as frames:
        next(frames)


def test_a_detector_serves_one_thread_at_a_time(images: list[Path]) -> None:
    made = []

    class Alone(BrightDetector):
        def __init__(self) -> None:
            self.lock = threading.Lock()
            made.append(self)

        def detect(self, rgb: NDArray[np.uint8], thresh: float = 0.25, nms: float = 0.45) -> Detections:
            assert self.lock.acquire(blocking=False)
            try:
                return super().detect(rgb, thresh, nms)
            finally:
                self.lock.release()

    detect_images(images, Alone, workers=3)
    assert len(made) == 3


def test_opencv_gets_its_threads_back(images: list[Path]) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)

    class Failing(BrightDetector):
        def detect(self, *_: object, **__: object) -> Detections:
            assert cv2.getNumThreads() == 1
            raise UsageError("stop")

    with pytest.raises(UsageError, match="stop"):
        detect_images(images, Failing)
    assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)


def test_an_error_drops_what_waits() -> None:
    started: list[int] = []
    never = threading.Event()

    def work(item: int) -> None:
        started.append(item)
        if item == 0:
            raise ValueError(item)
        never.wait(0.01)

    with pytest.raises(ValueError, match="0"):
        in_threads(work, range(1000), 1, "test")
    assert len(started) < 1000


def test_cores() -> None:
    assert cores() >= 1
