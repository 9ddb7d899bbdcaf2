"""An mp4 file out of frames."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import cv2

from tinier_yolo.errors import OutputError, PathLike
from tinier_yolo.files import grant_default_permissions, sibling_prefix
from tinier_yolo.media.captures import Frame
from tinier_yolo.media.opencv import quiet
from tinier_yolo.media.video import has_pyav


class _Encoder(Protocol):
    def write(self, rgb: Frame, time: float) -> None: ...

    def close(self) -> None: ...


class VideoWriter:
    """An mp4 file, written to a temporary sibling and renamed when it is whole; a context manager.

    With PyAV it is H.264, as browsers play it, each frame at its own time, and with the sound of the source. OpenCV
    writes MPEG-4 at a constant rate and without sound.

    Leaving it with an exception removes what was written, but for an interrupt, which ends the video where it is.

    Args:
        path: the file, ending in ``.mp4``; its folder is made.
        fps: frames a second.
        size: (width, height) of the frames.
        sound: a video file whose sound is taken over.

    Attributes:
        size: as given.

    Raises:
        OutputError: the video cannot be written, or the file system refuses.
    """

    def __init__(self, path: PathLike, fps: float, size: tuple[int, int], sound: PathLike | None = None) -> None:
        self._path, self.size, self._fps = Path(path), size, fps
        self._count = 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=sibling_prefix(self._path), suffix=".mp4", dir=self._path.parent)
            os.close(descriptor)
        except OSError as error:
            raise OutputError("cannot write", path=path, found=error.strerror) from error
        self._temporary = Path(name)
        try:
            self._encoder = _open_encoder(self._temporary, fps, size, sound)
        except BaseException as error:
            self._discard()
            if not isinstance(error, (OSError, ValueError)):
                raise
            found = f"{size[0]}x{size[1]} at {fps:g} fps: {getattr(error, 'strerror', None) or error}"
            raise OutputError("cannot write the video", path=path, found=found) from error

    def __enter__(self) -> Self:
        return self

    def write(self, rgb: Frame, time: float | None = None) -> None:
        """Append a frame, RGB uint8 (height, width, 3).

        Args:
            rgb: the frame.
            time: in seconds; that of its number at the video's rate if None.

        Raises:
            OutputError: it is not of the video's size, or it cannot be written.
        """
        if (rgb.shape[1], rgb.shape[0]) != self.size:
            raise OutputError(
                "the size of the frames changes", path=self._path, expected=self.size, found=rgb.shape[1::-1]
            )
        try:
            self._encoder.write(rgb, self._count / self._fps if time is None else time)
        except OSError as error:
            raise OutputError("cannot write", path=self._path, found=error.strerror) from error
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        keep = kind is None or issubclass(kind, KeyboardInterrupt)
        try:
            with suppress(*() if keep else (OSError,)):
                self._encoder.close()
            if keep:
                self._finish(interrupted=kind is not None)
        except OSError as problem:
            raise OutputError("cannot write", path=self._path, found=problem.strerror) from problem
        finally:
            self._discard()

    def _finish(self, interrupted: bool) -> None:
        # Neither library tells of every write that failed: a full disk leaves a file that nobody can open.
        found = _frames_in(self._temporary)
        if interrupted and not found:
            return  # what the path held before stays
        # An interrupt is told of after the encoder's call, which may have taken a frame that is not counted yet.
        if not 0 <= found - self._count <= interrupted:
            problem = "the video is not whole: is the disk full?"
            raise OutputError(problem, path=self._path, expected=f"{self._count} frames", found=found)
        grant_default_permissions(self._temporary)
        self._temporary.replace(self._path)

    def _discard(self) -> None:
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)


class _OpenCVEncoder:
    """MPEG-4 Part 2 by OpenCV, at a constant rate."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        with quiet():
            self._writer = cv2.VideoWriter(os.path.abspath(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)  # noqa: PTH100
        if not self._writer.isOpened():
            raise ValueError("OpenCV cannot write it")

    def write(self, rgb: Frame, time: float) -> None:  # noqa: ARG002
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()


def _open_encoder(path: Path, fps: float, size: tuple[int, int], sound: PathLike | None) -> _Encoder:
    if not has_pyav():
        return _OpenCVEncoder(path, fps, size)
    from tinier_yolo.media.pyav_encoder import PyAVEncoder

    return PyAVEncoder(path.absolute(), fps, size, None if sound is None else os.fspath(sound))


def _frames_in(path: Path) -> int:
    """Frames that the index of a file names; 0 where it has none."""
    if has_pyav():
        from tinier_yolo.media.pyav import indexed_frames

        return indexed_frames(path)
    with quiet():
        capture = cv2.VideoCapture(os.path.abspath(path))  # noqa: PTH100
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0
        capture.release()
    return max(0, int(count))
