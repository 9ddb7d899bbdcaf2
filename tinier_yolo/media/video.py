"""Video files and cameras: frames in, an mp4 out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, OutputError, PathLike
from tinier_yolo.media.ahead import read_ahead
from tinier_yolo.media.opencv import quiet

#: Used where a camera or a file does not say, or says nonsense.
DEFAULT_FPS = 25.0
#: Seconds that a camera may take for a frame.
CAMERA_TIMEOUT = 10.0
#: Frames of a file that wait for their reader: enough to even out what takes long now and then; memory for each.
FRAMES_AHEAD = 3

Frame = NDArray[np.uint8]
Made = TypeVar("Made")


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
        self._reading = False
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
        # Once frames are read, the capture belongs to the thread that reads them.
        if not self._reading:
            self._capture.release()

    def frames(self) -> Generator[Frame]:
        """Each frame, RGB uint8 (height, width, 3); see :meth:`each`."""
        return self.each(lambda rgb: rgb)

    def each(self, prepare: Callable[[Frame], Made]) -> Generator[Made]:
        """What ``prepare`` makes of each frame, to the end of the file or until the camera stops; once.

        Frames are decoded and prepared in a thread, those of a file a few ahead of the caller. Close the generator to
        stop before the end.

        Args:
            prepare: called in that thread with RGB uint8 (height, width, 3).

        Raises:
            MediaError: not a single frame comes, or a camera's next one does not come in time.
            Exception: what ``prepare`` raises.
        """
        self._reading = True
        # A read of a camera that has gone to sleep may never return and cannot be cancelled, hence the timeout. Of its
        # frames one waits, so that the picture lags but little.
        depth, timeout = (1, self._timeout) if self._camera else (FRAMES_AHEAD, None)
        try:
            with closing(read_ahead(self.one_by_one(prepare), depth, timeout)) as made:
                yield from made
        except TimeoutError:
            raise MediaError("no frame", path=self._label, expected=f"one within {self._timeout:g} s") from None

    def one_by_one(self, prepare: Callable[[Frame], Made]) -> Generator[Made]:
        """The same in the caller's thread: nothing is done ahead, and a camera is waited for without end.

        Raises:
            MediaError: not a single frame comes.
        """
        number, bgr = 0, None
        try:
            while True:
                with quiet():
                    # Into the memory of the frame before, as nobody else has it: fresh memory costs time for its pages.
                    ok, bgr = self._capture.read(bgr)
                if not ok:
                    break
                yield prepare(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
                number += 1
        finally:
            self._capture.release()
        if not number:
            raise MediaError("opens but gives no frame", path=self._label)


class VideoWriter:
    """An mp4 file, written to a temporary sibling and renamed when it is whole; a context manager.

    Leaving it with an exception removes what was written, but for Ctrl-C, which ends the video where it is.

    Args:
        path: the file, ending in ``.mp4``; its folder is made.
        fps: frames a second.
        size: (width, height) of the frames.

    Raises:
        OutputError: OpenCV cannot write the video, or the file system refuses.
    """

    def __init__(self, path: PathLike, fps: float, size: tuple[int, int]) -> None:
        self._path, self._size = Path(path), size
        self._temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}.tmp.mp4")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("cannot write", path=path, found=error.strerror) from error
        with quiet():
            self._writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            raise OutputError("OpenCV cannot write the video", path=path, found=f"{size[0]}x{size[1]} at {fps:g} fps")

    def __enter__(self) -> Self:
        return self

    def write(self, rgb: Frame) -> None:
        """Append a frame, RGB uint8 (height, width, 3).

        Raises:
            OutputError: it is not of the video's size.
        """
        if (rgb.shape[1], rgb.shape[0]) != self._size:
            raise OutputError(
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
            raise OutputError("cannot write", path=self._path, found=problem.strerror) from problem


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
