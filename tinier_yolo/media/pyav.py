"""FFmpeg by way of PyAV: videos in, with their own time stamps. The only module that imports ``av``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tinier_yolo.errors import MediaError
from tinier_yolo.media.addresses import is_address
from tinier_yolo.media.captures import TRUSTED_FPS, Frame, Stamped, measured_fps, plausible_fps
from tinier_yolo.media.images import MAX_PIXELS

#: Packets whose time stamps are looked at where a file does not tell its frame rate.
_MEASURED = 100
#: Packets in a row without a frame after which a file counts as undecodable.
_MOST_BAD = 500


class PyAVCapture:
    """A file or an address, read by FFmpeg; see :class:`tinier_yolo.media.captures.Capture`.

    Interlaced frames come as they are stored, woven; a rotation that the file asks for is done. A packet that cannot
    be decoded is left out and told of in ``damage``.

    Args:
        source: a path, or an address with its scheme.
        label: what errors call it.
        timeout: seconds that an address may take to open, and for a packet.

    Raises:
        MediaError: not a video, or one of unreasonable size.
    """

    def __init__(self, source: str, label: str, timeout: float) -> None:
        self._label, self._live = label, is_address(source)
        self._container = open_input(source, label, timeout)
        self._stream = _video_stream(self._container, label)
        self._check_size(self._stream.codec_context.width, self._stream.codec_context.height)
        # Frame threads hold frames back, which matters where somebody waits for them.
        self._stream.thread_type = "SLICE" if self._live else "AUTO"
        self.damage, self._bad = "", 0
        self._origin = start_of(self._container)
        self.fps = _rate(self._stream, None if self._live else source, label)
        self.frame_count = _frame_count(self._container, self._stream, self.fps)
        self._frames = self._decoded()
        self._next_time = 0.0

    def read(self) -> Stamped | None:
        """See ``Capture``.

        Raises:
            MediaError: a frame of unreasonable size, or one that cannot be converted.
        """
        frame = next(self._frames, None)
        if frame is None:
            return None
        time = self._next_time if frame.pts is None else frame.time - self._origin
        self._next_time = time + 1 / self.fps
        return Stamped(time, self._convert(frame))

    def release(self) -> None:
        """See ``Capture``."""
        self._frames.close()  # type: ignore[attr-defined]
        self._container.close()

    def _decoded(self) -> Iterator[VideoFrame]:
        in_a_row = 0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except FFmpegError as problem:
                in_a_row += 1
                self._bad += 1
                self.damage = f"{self._bad} packets cannot be decoded ({problem.strerror})"
                if in_a_row > _MOST_BAD:
                    return
                continue
            in_a_row = 0
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    yield frame

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        try:
            yield from self._container.demux(self._stream)
        except FFmpegError as problem:
            self.damage = f"the file cannot be read any further ({problem.strerror})"

    def _convert(self, frame: VideoFrame) -> Frame:
        self._check_size(frame.width, frame.height)
        try:
            rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        except (FFmpegError, ValueError) as problem:
            found = f"{frame.format.name}: {problem}"
            raise MediaError("a frame that cannot be converted", path=self._label, found=found) from problem
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MAX_PIXELS:
            expected = f"at most {MAX_PIXELS} pixels"
            raise MediaError("the frames are too large", path=self._label, expected=expected, found=f"{width}x{height}")


def open_input(source: str, label: str, timeout: float | None = None) -> InputContainer:
    """Open a file, or an address, for reading.

    Raises:
        MediaError: nothing that FFmpeg reads.
    """
    address = is_address(source)
    # A name is a name, also one with a colon; and what a file says does not make us read from the network.
    options = {"rtsp_transport": "tcp"} if address else {"protocol_whitelist": "file,crypto,data"}
    name = source if address else f"file:{Path(source).absolute()}"
    try:
        return av.open(name, options=options, timeout=timeout if address else None, metadata_errors="ignore")
    except (FFmpegError, OSError, ValueError) as problem:
        found = getattr(problem, "strerror", None) or problem
        raise MediaError("not a video that can be read", path=label, found=found) from problem


def indexed_frames(path: Path) -> int:
    """Frames that the index of a file names; 0 where it has none."""
    try:
        with open_input(str(path), str(path)) as container:
            return container.streams.video[0].frames if container.streams.video else 0
    except MediaError:
        return 0


def start_of(container: InputContainer) -> float:
    """The time stamp of the beginning, in seconds."""
    return (container.start_time or 0) / av.time_base


def _video_stream(container: InputContainer, label: str) -> VideoStream:
    # Covers of albums are videos of one picture; a file that has nothing else has no video.
    streams = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
    if not streams:
        container.close()
        raise MediaError("no video in the file", path=label)
    if streams[0].codec_context is None:
        container.close()
        raise MediaError("no decoder for the video", path=label)
    return streams[0]


def _rate(stream: VideoStream, path: str | None, label: str) -> float:
    told = stream.average_rate or stream.guessed_rate
    if told and ((stream.average_rate and told <= TRUSTED_FPS) or path is None):
        return plausible_fps(float(told))
    return measured_fps(_first_times(path, label)) if path is not None else plausible_fps(0)


def _first_times(path: str, label: str) -> list[float]:
    times: list[float] = []
    with open_input(path, label) as container:
        stream = _video_stream(container, label)
        try:
            for packet in container.demux(stream):
                if packet.pts is not None and packet.time_base is not None:
                    times.append(float(packet.pts * packet.time_base))
                if len(times) == _MEASURED:
                    break
        except FFmpegError:
            pass  # It will be met again, and told of, when frames are read.
    return times


def _frame_count(container: InputContainer, stream: VideoStream, fps: float) -> int | None:
    if stream.frames > 0:
        return stream.frames
    if stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base) * fps)
    return round(container.duration / av.time_base * fps) if container.duration else None
