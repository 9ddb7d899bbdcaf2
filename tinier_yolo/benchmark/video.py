"""How long the frames of a video take from the file to the boxes, and which part of it takes how much."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk.local import detect_frames
from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.detector import Detector, InferenceEngine
from tinier_yolo.errors import PathLike
from tinier_yolo.media.video import VideoReader

#: Frames of a pass: enough for a median, few enough for a film.
FRAMES = 300
#: Passes of each kind, in turn.
PASSES = 3
#: What the work on a frame is made of. The first two are done in a thread, ahead of the others.
PARTS = ("decode", "letterbox", "network", "postprocess")
#: Seconds of the first two, or of the last two.
Half = tuple[float, float]


@dataclass(frozen=True)
class VideoTiming:
    """The time of a video's frames.

    Frames are decoded and letterboxed in a thread while others are detected in. The first two parts are those of the
    passes that measure the limit, where nothing runs beside them; the others are those of detection with the thread
    beside it. As both go on at once, a frame takes less than their sum.

    Attributes:
        width: of a frame.
        height: of a frame.
        frames: frames of a pass.
        detections: boxes found in a pass.
        milliseconds: the median of a frame for each of ``PARTS``.
        frames_per_second: from the file to the boxes; the median of the passes.
        limit: the same for decoding and letterboxing alone, in one thread and without any handing over.
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
    with VideoReader(path) as reader, closing(reader.frames()) as frames:
        first = next(frames)
    detector.detect(first)  # Compiles the kernels and makes the buffers.
    ahead: list[Half] = []
    behind: list[Half] = []
    whole, limit, detections = [], [], 0
    for _ in range(PASSES):
        start = time.perf_counter()
        found, detections = _detect_all(path, detector, timed)
        whole.append(len(found) / (time.perf_counter() - start))
        behind += found
        start = time.perf_counter()
        prepared = _prepare_all(path, detector)
        limit.append(len(prepared) / (time.perf_counter() - start))
        ahead += prepared
    medians = (1e3 * np.concatenate((np.median(ahead, axis=0), np.median(behind, axis=0)))).tolist()
    return VideoTiming(
        width=first.shape[1],
        height=first.shape[0],
        frames=len(behind) // PASSES,
        detections=detections,
        milliseconds=dict(zip(PARTS, medians, strict=True)),
        frames_per_second=float(np.median(whole)),
        limit=float(np.median(limit)),
    )


def _detect_all(path: PathLike, detector: Detector, engine: _TimedEngine) -> tuple[list[Half], int]:
    parts: list[Half] = []
    detections = 0
    with VideoReader(path) as reader, closing(detect_frames(reader, detector)) as frames:
        for found in islice(frames, FRAMES):
            detections += len(found.detections)
            parts.append((engine.ended - engine.began, time.perf_counter() - engine.ended))
    return parts, detections


def _prepare_all(path: PathLike, detector: Detector) -> list[Half]:
    parts: list[Half] = []
    start = time.perf_counter()

    def prepare(rgb: NDArray[np.uint8]) -> None:
        nonlocal start
        decoded = time.perf_counter()
        detector.prepare(rgb)
        end = time.perf_counter()
        parts.append((decoded - start, end - decoded))
        start = end

    with VideoReader(path) as reader, closing(reader.one_by_one(prepare)) as frames:
        for _ in islice(frames, FRAMES):
            pass
    return parts
