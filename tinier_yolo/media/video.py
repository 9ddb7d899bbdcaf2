"""Video files and cameras: frames in, an mp4 out."""

from __future__ import annotations

import math
import os
import queue
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, PathLike
from tinier_yolo.media.opencv import quiet

#: Used where a camera or a file does not say, or says nonsense.
DEFAULT_FPS = 25.0
#: Seconds that a camera may take for a frame.
CAMERA_TIMEOUT = 10.0

Frame = NDArray[np.uint8]


class VideoReader:
    """The frames of a video file or a camera; a context manager.

    Args:
        source: the path of a file, or the number of a camera.
        timeout: seconds to wait for a frame of a camera.

    Attributes:
        fps: frames a second, as the source says.
        frame_count: frames of a file, as its header says, so only about right; None for a camera.

    Raises:
        MediaError: the file is missing or no video, or the camera is not there.
    """

    def __init__(self, source: PathLike | int, timeout: float = CAMERA_TIMEOUT) -> None:
        self._camera = isinstance(source, int)
        self._label = f"camera {source}" if isinstance(source, int) else str(source)
        self._timeout = timeout
        if not isinstance(source, int):
            _check_file(Path(source))
        with quiet():
            self._capture = cv2.VideoCapture()
            # A number beyond any camera's is an error of its own in OpenCV's binding.
            with suppress(cv2.error):
                self._capture.open(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            problem = "no such camera, or it is in use" if self._camera else "not a video that OpenCV reads"
            raise MediaError(problem, path=self._label)
        self.fps = _plausible_fps(self._capture.get(cv2.CAP_PROP_FPS))
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if not self._camera and count > 0 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A camera's capture belongs to the thread that reads it.
        if not self._camera:
            self._capture.release()

    def frames(self) -> Generator[Frame]:
        """Each frame, RGB uint8 (height, width, 3), to the end of the file or until the camera stops.

        Raises:
            MediaError: not a single frame comes, or a camera's next one does not come in time.
        """
        number = 0
        for bgr in self._camera_frames() if self._camera else self._file_frames():
            yield np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            number += 1
        if not number:
            raise MediaError("opens but gives no frame", path=self._label)

    def _file_frames(self) -> Generator[Frame]:
        while True:
            with quiet():
                ok, bgr = self._capture.read()
            if not ok:
                return
            yield np.asarray(bgr, np.uint8)

    def _camera_frames(self) -> Generator[Frame]:
        # A read of a camera that has gone to sleep may never return and cannot be cancelled: it runs in a thread of
        # its own, which is left behind then. The queue holds one frame, so that the picture lags but little.
        frames: queue.Queue[Frame | None] = queue.Queue(maxsize=1)
        stopped = threading.Event()

        def pump() -> None:
            ok = True
            while ok and not stopped.is_set():
                ok, bgr = self._capture.read()
                frames.put(np.asarray(bgr, np.uint8) if ok else None)
            self._capture.release()

        threading.Thread(target=pump, daemon=True).start()
        try:
            while (bgr := frames.get(timeout=self._timeout)) is not None:
                yield bgr
        except queue.Empty:
            raise MediaError("no frame", path=self._label, expected=f"one within {self._timeout:g} s") from None
        finally:
            stopped.set()
            with suppress(queue.Empty):  # makes room for a put that waits
                frames.get_nowait()


class VideoWriter:
    """An mp4 file, written to a temporary sibling and renamed when it is whole; a context manager.

    Leaving it with an exception removes what was written, but for Ctrl-C, which ends the video where it is.

    Args:
        path: the file, ending in ``.mp4``; its folder is made.
        fps: frames a second.
        size: (width, height) of the frames.

    Raises:
        MediaError: OpenCV cannot write the video, or the file system refuses.
    """

    def __init__(self, path: PathLike, fps: float, size: tuple[int, int]) -> None:
        self._path, self._size = Path(path), size
        self._temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}.tmp.mp4")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError("cannot write", path=path, found=error.strerror) from error
        with quiet():
            self._writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            raise MediaError("OpenCV cannot write the video", path=path, found=f"{size[0]}x{size[1]} at {fps:g} fps")

    def __enter__(self) -> Self:
        return self

    def write(self, rgb: Frame) -> None:
        """Append a frame, RGB uint8 (height, width, 3).

        Raises:
            MediaError: it is not of the video's size.
        """
        if (rgb.shape[1], rgb.shape[0]) != self._size:
            raise MediaError(
                "the size of the frames changes", path=self._path, expected=self._size, found=rgb.shape[1::-1]
            )
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.release()
        try:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self._temporary.replace(self._path)
            else:
                self._temporary.unlink(missing_ok=True)
        except OSError as problem:
            raise MediaError("cannot write", path=self._path, found=problem.strerror) from problem


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise MediaError("cannot read the video", path=path, found=error.strerror) from error
    if empty:
        raise MediaError("an empty file, not a video", path=path)


def _plausible_fps(fps: float) -> float:
    return fps if math.isfinite(fps) and 0.1 <= fps <= 1000 else DEFAULT_FPS
