"""Many pictures through a detector on this machine: the frames of a video one by one, images on all cores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import MediaError, PathLike
from tinier_yolo.media.ahead import read_together
from tinier_yolo.media.images import read_image
from tinier_yolo.media.video import VideoReader

Item = TypeVar("Item")
Made = TypeVar("Made")


class FaceDetector(Protocol):
    """What finds faces in an image: a ``Detector``, or one of somebody else's."""

    def detect(self, rgb: NDArray[np.uint8], thresh: float = ..., nms: float = ...) -> Detections:
        """The faces of an image, uint8 (height, width, 3), RGB."""
        ...


class FrameDetector(Protocol):
    """What finds faces in frames that a thread prepares ahead: a ``Detector`` or a ``TiledDetector``."""

    def prepare(self, rgb: NDArray[np.uint8]) -> Any:
        """What ``detect`` does first; its ``letterbox`` knows the size of the frame."""
        ...

    def detect(self, rgb: Any, thresh: float = ..., nms: float = ...) -> Detections:
        """The faces of a frame, or of what was made of it."""
        ...


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one picture.

    Attributes:
        detections: highest score first, in pixels of the picture.
        size: the picture's (width, height).
        seconds: how long ``detect`` took; of a frame without its letterbox, which was made ahead.
        rgb: the picture, uint8 (height, width, 3), if it was asked for.
        time: of a frame, in seconds; None for an image.
    """

    detections: Detections
    size: tuple[int, int]
    seconds: float
    rgb: NDArray[np.uint8] | None = None
    time: float | None = None


def detect_image(
    path: PathLike,
    detector: FaceDetector,
    thresh: float = THRESH,
    nms: float = NMS,
    *,
    keep: bool = False,
    upright: bool = True,
) -> Found:
    """Detect in an image file.

    Args:
        path: the file.
        detector: the detector.
        thresh: see ``Detector.detect``.
        nms: see ``Detector.detect``.
        keep: return the picture too.
        upright: turn the image as its EXIF orientation says; see ``read_image``.

    Raises:
        MediaError: the image cannot be read.
        UsageError: see ``Detector.detect``.
    """
    rgb = read_image(path, upright=upright)
    found, seconds = _timed(detector, rgb, thresh, nms)
    return Found(found, (rgb.shape[1], rgb.shape[0]), seconds, rgb if keep else None)


def detect_frames(
    reader: VideoReader, detector: FrameDetector, thresh: float = THRESH, nms: float = NMS, *, keep: bool = False
) -> Generator[Found]:
    """Detect in each frame of a video or a camera. Frames are decoded and letterboxed in a thread, a few ahead.

    Close the generator to stop before the end.

    Args:
        reader: the video, of which no frame was read yet.
        detector: the detector.
        thresh: see ``Detector.detect``.
        nms: see ``Detector.detect``.
        keep: return the pictures too.

    Raises:
        MediaError: see ``VideoReader.each``.
        UsageError: see ``Detector.detect``.
    """
    with closing(reader.stamped(_preparer(detector, keep))) as frames:
        for frame in frames:
            yield _found(frame, detector, thresh, nms)


def detect_together(
    readers: Sequence[VideoReader],
    detector: FrameDetector,
    thresh: float = THRESH,
    nms: float = NMS,
    *,
    keep: bool = False,
) -> Generator[tuple[int, Found | MediaError]]:
    """Detect in the frames of several streams as they come. Each is read in a thread of its own.

    Yields:
        The number of the reader and what was found, or why it ended.

    Raises:
        UsageError: see ``Detector.detect``.
    """
    with closing(read_together([reader.stamped(_preparer(detector, keep)) for reader in readers])) as frames:
        for number, frame in frames:
            if isinstance(frame, MediaError):
                yield number, frame
            elif isinstance(frame, BaseException):
                raise frame
            else:
                yield number, _found(frame, detector, thresh, nms)


_Ready = tuple[NDArray[np.uint8] | None, Any]


def _preparer(detector: FrameDetector, keep: bool) -> Callable[[NDArray[np.uint8]], _Ready]:
    return lambda rgb: (rgb if keep else None, detector.prepare(rgb))


def _found(frame: tuple[float, _Ready], detector: FrameDetector, thresh: float, nms: float) -> Found:
    moment, (rgb, prepared) = frame
    found, seconds = _timed(detector, prepared, thresh, nms)
    return Found(found, prepared.letterbox.image_size, seconds, rgb, moment)


def detect_images(
    files: Sequence[Path],
    make: Callable[[], FaceDetector],
    thresh: float = THRESH,
    nms: float = NMS,
    *,
    workers: int | None = None,
    label: str = "detect",
    upright: bool = True,
) -> list[Found | MediaError]:
    """Detect in image files on several threads, each with a detector of its own.

    Args:
        files: the images.
        make: makes a detector; called once for each thread.
        thresh: see ``Detector.detect``.
        nms: see ``Detector.detect``.
        workers: threads; as many as cores if None. Kernels, OpenCV and image decoding release the interpreter's lock.
        label: what the progress bar says.
        upright: turn images as their EXIF orientation says; see ``read_image``.

    Returns:
        What was found in each file, in their order, or why it could not be read.
    """
    workers = cores() if workers is None else workers
    detectors: SimpleQueue[FaceDetector] = SimpleQueue()
    for _ in range(workers):
        detectors.put(make())

    def detect(path: Path) -> Found | MediaError:
        detector = detectors.get()
        try:
            return detect_image(path, detector, thresh, nms, upright=upright)
        except MediaError as error:
            return error
        finally:
            detectors.put(detector)

    # One thread an image: OpenCV's own threads would fight with ours, and the times would tell of the fight.
    with _opencv_threads(1):
        return in_threads(detect, files, workers, label)


def in_threads(work: Callable[[Item], Made], items: Sequence[Item], workers: int, label: str) -> list[Made]:
    """``[work(item) for item in items]`` on several threads, with a progress bar on stderr.

    The first exception of ``work`` stops everything and is raised.
    """
    from concurrent.futures import ThreadPoolExecutor  # start-up without it is quicker

    executor = ThreadPoolExecutor(workers)
    try:
        return list(progress(executor.map(work, items), len(items), label))
    finally:
        # On an error or Ctrl-C the images that wait are dropped, not worked through.
        executor.shutdown(cancel_futures=True)


def progress(items: Iterable[Item], total: int, label: str) -> Iterable[Item]:
    """A progress bar on stderr; where that is no terminal, a line every half minute."""
    from tqdm import tqdm

    pace: dict[str, Any] = {"leave": False}
    if not sys.stderr.isatty():
        pace = {"delay": 30, "mininterval": 30, "maxinterval": 60}
    bar: Iterable[Item] = tqdm(items, label, total, unit="image", **pace)
    return bar


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _timed(detector: Any, image: Any, thresh: float, nms: float) -> tuple[Detections, float]:
    start = time.perf_counter()
    found: Detections = detector.detect(image, thresh=thresh, nms=nms)
    return found, time.perf_counter() - start


@contextmanager
def _opencv_threads(count: int) -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
