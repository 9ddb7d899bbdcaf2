"""Driving a detector over a set of images, with progress, on all cores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import MediaError, UsageError
from tinier_yolo.media.images import read_image

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Defaults of an evaluation. A curve needs the detections of low scores too: at 0.25 it would end too early.
THRESH, NMS = 0.01, 0.45


class FaceDetector(Protocol):
    """What an evaluation asks of a detector."""

    def detect(self, rgb: NDArray[np.uint8], thresh: float = ..., nms: float = ...) -> Detections:
        """The faces of an image, uint8 (height, width, 3), RGB."""
        ...


@dataclass(frozen=True)
class Subject:
    """A detector to be evaluated, and how.

    Attributes:
        name: for legends, tables and summaries.
        make: makes a detector; called once for each worker, since a detector serves one thread at a time.
        thresh: the least score to keep.
        nms: IoU of the suppression.
        workers: threads, each with its detector; as many as cores if None. Kernels, OpenCV and image decoding release
            the interpreter's lock, so that threads do.
        details: what else a summary shall say of it: model file, bytes, size.
    """

    name: str
    make: Callable[[], FaceDetector]
    thresh: float = THRESH
    nms: float = NMS
    workers: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What a detector found on a set of images.

    Attributes:
        detections: by image name; empty for an image that could not be read.
        sizes: (width, height) by image name, of those that could be read.
        problems: by image name, why an image could not be read.
        ms_per_image: median time of ``detect`` alone, on one thread, in milliseconds.
    """

    detections: Mapping[str, Detections]
    sizes: Mapping[str, tuple[int, int]]
    problems: Mapping[str, str]
    ms_per_image: float


def run_detector(subject: Subject, images: Mapping[str, Path]) -> Run:
    """Detect on every image. One that cannot be read is noted in ``problems``, and the others go on.

    Args:
        subject: the detector.
        images: the file of each image, by name.

    Raises:
        UsageError: no images, or none that can be read.
    """
    if not images:
        raise UsageError("no images to evaluate")
    workers = cores() if subject.workers is None else subject.workers
    pool: SimpleQueue[FaceDetector] = SimpleQueue()
    for _ in range(workers):
        pool.put(subject.make())

    def detect(path: Path) -> tuple[Detections, tuple[int, int], float] | str:
        try:
            rgb = read_image(path, upright=False)
        except MediaError as error:
            return str(error)
        detector = pool.get()
        try:
            start = time.perf_counter()
            found = detector.detect(rgb, thresh=subject.thresh, nms=subject.nms)
            return found, (rgb.shape[1], rgb.shape[0]), (time.perf_counter() - start) * 1e3
        finally:
            pool.put(detector)

    # One thread an image: OpenCV's own threads would fight with ours, and the times would tell of the fight.
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        results = in_threads(detect, list(images.values()), workers, subject.name)
    finally:
        cv2.setNumThreads(opencv_threads)
    return _collect(dict(zip(images, results, strict=True)))


def _collect(results: Mapping[str, tuple[Detections, tuple[int, int], float] | str]) -> Run:
    problems = {name: result for name, result in results.items() if isinstance(result, str)}
    found = {name: result for name, result in results.items() if not isinstance(result, str)}
    if not found:
        first = next(iter(problems.values()))
        raise UsageError(f"none of the {len(problems)} images can be read; the first: {first}")
    return Run(
        {name: found[name][0] if name in found else Detections.empty() for name in results},
        {name: result[1] for name, result in found.items()},
        problems,
        round(float(np.median([result[2] for result in found.values()])), 3),
    )


def read_sizes(images: Mapping[str, Path], workers: int | None = None) -> dict[str, tuple[int, int]]:
    """The (width, height) of images, by name.

    Raises:
        MediaError: an image is missing or damaged.
    """

    def size(path: Path) -> tuple[int, int]:
        height, width = read_image(path, upright=False).shape[:2]
        return width, height

    sizes = in_threads(size, list(images.values()), cores() if workers is None else workers, "sizes")
    return dict(zip(images, sizes, strict=True))


def in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item], workers: int, label: str) -> list[_Result]:
    """``[work(item) for item in items]`` on several threads, with a progress bar on stderr.

    The first exception of ``work`` stops everything and is raised.
    """
    executor = ThreadPoolExecutor(workers)
    try:
        return list(progress(executor.map(work, items), len(items), label))
    finally:
        # On an error or Ctrl-C the images that wait are dropped, not worked through.
        executor.shutdown(cancel_futures=True)


def progress(items: Iterable[_Item], total: int, label: str) -> Iterable[_Item]:
    """A progress bar on stderr; where that is no terminal, a line every half minute."""
    from tqdm import tqdm

    pace: dict[str, Any] = {"leave": False}
    if not sys.stderr.isatty():
        pace = {"delay": 30, "mininterval": 30, "maxinterval": 60}
    bar: Iterable[_Item] = tqdm(items, label, total, unit="image", **pace)
    return bar


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
