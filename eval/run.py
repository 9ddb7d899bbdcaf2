"""What a detector finds on a set of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinier_yolo.bulk.local import FaceDetector, Found, cores, detect_images, in_threads
from tinier_yolo.defaults import EVALUATION_THRESH, NMS
from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import MediaError, UsageError
from tinier_yolo.media.images import read_image


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
    thresh: float = EVALUATION_THRESH
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


def run_detector(subject: Subject, images: Mapping[str, Path], *, upright: bool = False) -> Run:
    """Detect on every image. One that cannot be read is noted in ``problems``, and the others go on.

    Args:
        subject: the detector.
        images: the file of each image, by name.
        upright: see ``read_image``; False for a benchmark whose annotations are of stored pixels.

    Raises:
        UsageError: no images, or none that can be read.
    """
    if not images:
        raise UsageError("no images to evaluate")
    files = list(images.values())
    found = detect_images(
        files,
        subject.make,
        subject.thresh,
        subject.nms,
        workers=subject.workers,
        label=subject.name,
        upright=upright,
    )
    return _collect(dict(zip(images, found, strict=True)))


def _collect(results: Mapping[str, Found | MediaError]) -> Run:
    problems = {name: str(result) for name, result in results.items() if isinstance(result, MediaError)}
    found = {name: result for name, result in results.items() if isinstance(result, Found)}
    if not found:
        first = next(iter(problems.values()))
        raise UsageError(f"none of the {len(problems)} images can be read; the first: {first}")
    return Run(
        {name: found[name].detections if name in found else Detections.empty() for name in results},
        {name: result.size for name, result in found.items()},
        problems,
        round(1e3 * float(np.median([result.seconds for result in found.values()])), 3),
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
