"""How long the frames of a video take from the file to the boxes, and which part of it takes how much."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.detector import Detector, InferenceEngine
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import PathLike
from tinier_yolo.media.video import VideoReader

#: Frames of a pass: enough for a median, few enough for a film.
FRAMES = 300
#: Passes of each kind, in turn.
PASSES = 3
#: What the time of a frame is made of, and its seconds.
PARTS = ("decode", "letterbox", "network", "postprocess")
Parts = tuple[float, float, float, float]


@dataclass(frozen=True)
class VideoTiming:
    """The time of a video's frames.

    Attributes:
        width: of a frame.
        height: of a frame.
        frames: frames of a pass.
        detections: boxes found in a pass.
        milliseconds: the median of a frame for each of ``PARTS``.
        frames_per_second: from the file to the boxes; the median of the passes.
        limit: the same for decoding and letterboxing alone.
    """

    width: int
    height: int
    frames: int
    detections: int
    milliseconds: dict[str, float]
    frames_per_second: float
    limit: float


class _TimedEngine:
    """An engine that remembers when its last run began and ended."""

    def __init__(self, engine: InferenceEngine) -> None:
        self._engine = engine
        self.began = self.ended = 0.0

    def run(self, image: NDArray[np.uint8], /) -> NDArray[Any]:
        self.began = time.perf_counter()
        output = self._engine.run(image)
        self.ended = time.perf_counter()
        return output


def time_video(
    path: PathLike, engine: InferenceEngine, network: Network, class_names: tuple[str, ...], fraction_bits: int
) -> VideoTiming:
    """Time the first frames of a video with a detector's defaults, and the same frames without detection.

    Args:
        path: the video.
        engine: see ``Detector``, as are the others.
        network: at the size that is measured.
        class_names: a name for each class.
        fraction_bits: m of the engine's map.

    Raises:
        MediaError: the video cannot be read.
    """
    timed = _TimedEngine(engine)
    detector = Detector(timed, network, class_names, fraction_bits)
    with closing(_frames(path)) as frames:
        first = next(frames)
    detector.detect(first)  # Compiles the kernels and makes the buffers.
    parts: list[Parts] = []
    whole, limit, detections = [], [], 0
    for _ in range(PASSES):
        start = time.perf_counter()
        found, detections = _detect_all(path, detector, timed)
        whole.append(len(found) / (time.perf_counter() - start))
        parts += found
        start = time.perf_counter()
        resized = _resize_all(path, detector)
        limit.append(resized / (time.perf_counter() - start))
    medians = (np.median(parts, axis=0) * 1e3).tolist()
    return VideoTiming(
        width=first.shape[1],
        height=first.shape[0],
        frames=len(parts) // PASSES,
        detections=detections,
        milliseconds=dict(zip(PARTS, medians, strict=True)),
        frames_per_second=float(np.median(whole)),
        limit=float(np.median(limit)),
    )


def _frames(path: PathLike) -> Generator[NDArray[np.uint8]]:
    with VideoReader(path) as reader, closing(reader.frames()) as frames:
        yield from islice(frames, FRAMES)


def _detect_all(path: PathLike, detector: Detector, engine: _TimedEngine) -> tuple[list[Parts], int]:
    parts: list[Parts] = []
    detections = 0
    start = time.perf_counter()
    for frame in _frames(path):
        decoded = time.perf_counter()
        detections += len(detector.detect(frame))
        end = time.perf_counter()
        parts.append((decoded - start, engine.began - decoded, engine.ended - engine.began, end - engine.ended))
        start = time.perf_counter()
    return parts, detections


def _resize_all(path: PathLike, detector: Detector) -> int:
    canvas = np.empty((*detector.network.input[1:], 3), np.uint8)
    count = 0
    for frame in _frames(path):
        size = frame.shape[1], frame.shape[0]
        Letterbox.fit(size, detector.size, detector.network.options.letter_box).apply(frame, canvas)
        count += 1
    return count
