"""FFmpeg by way of PyAV: H.264 in an mp4, as browsers play it, with the time stamps and the sound of the source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame

from tinier_yolo.errors import MediaError
from tinier_yolo.media.captures import Frame
from tinier_yolo.media.pyav import open_input, start_of

#: Time stamps of the output: fine enough for every usual frame rate.
_CLOCK = Fraction(1, 90_000)
#: Sound that an mp4 holds as it is and browsers play; other kinds are encoded anew.
_COPIED = ("aac", "mp3")
#: Samples a second that the encoder of the others takes.
_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)


class PyAVEncoder:
    """Writes frames to an mp4 file; a context manager.

    Args:
        path: the file.
        fps: frames a second, about: each frame has its own time.
        size: (width, height); odd sides grow by a pixel, as H.264's chroma needs even ones.
        sound: a video file whose sound is taken over, if it has any.

    Raises:
        FFmpegError, OSError: it cannot be opened.
        OSError: it cannot be written; from every method.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], sound: str | None = None) -> None:
        self._output: OutputContainer = av.open(f"file:{path}", "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._output.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        self._stream.width, self._stream.height = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "21"}
        self._stream.time_base = self._stream.codec_context.time_base = _CLOCK
        self._sound = _Sound.of(sound, self._output) if sound else None
        self._last, self._step = -1, 1 / fps

    def write(self, rgb: Frame, time: float) -> None:
        """Append a frame, RGB uint8 (height, width, 3), at its time in seconds; a time that is not later is moved."""
        height, width = rgb.shape[:2]
        if height % 2 or width % 2:
            rgb = np.asarray(cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        self._last = frame.pts = max(self._last + 1, round(time / _CLOCK))
        frame.time_base = _CLOCK
        with _as_os_errors():
            self._output.mux(self._stream.encode(frame))
            if self._sound:
                self._sound.copy(self._last * float(_CLOCK))

    def close(self) -> None:
        """Write what waits, and the index."""
        with _as_os_errors():
            try:
                self._output.mux(self._stream.encode(None))
                if self._sound:
                    self._sound.copy(self._last * float(_CLOCK) + self._step)
            finally:
                if self._sound:
                    self._sound.close()
                self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _as_os_errors() -> Iterator[None]:
    # Some errors of FFmpeg's are no OSError: those of its encoders, or of an argument that it meets late.
    try:
        yield
    except FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


class _Sound:
    """The sound of a file, taken over up to the time of the picture."""

    def __init__(self, source: InputContainer, stream: AudioStream, output: OutputContainer) -> None:
        self._source, self._output, self._origin = source, output, start_of(source)
        self._copied = stream.codec_context.name in _COPIED
        if self._copied:
            self._target = output.add_stream_from_template(stream)
        else:
            rate = stream.codec_context.sample_rate
            self._target = output.add_stream("aac", rate=rate if rate in _AAC_RATES else 48_000)
            self._resampler = AudioResampler("fltp", "stereo", self._target.codec_context.sample_rate)
        self._packets = self._made(stream)
        self._waiting: Packet[AudioStream] | None = None

    @classmethod
    def of(cls, path: str, output: OutputContainer) -> _Sound | None:
        """The sound of a file; None where it has none that can be read."""
        try:
            source = open_input(path, path)
        except MediaError:
            return None
        if not source.streams.audio or source.streams.audio[0].codec_context is None:  # None: no decoder for it
            source.close()
            return None
        return cls(source, source.streams.audio[0], output)

    def copy(self, until: float) -> None:
        """Take over what sounds up to a time in seconds."""
        while (packet := self._waiting or next(self._packets, None)) is not None:
            if packet.pts is not None and packet.time_base and float(packet.pts * packet.time_base) > until:
                self._waiting = packet
                return
            self._waiting = None
            self._output.mux(packet)

    def close(self) -> None:
        self._source.close()

    def _made(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        try:
            yield from self._copies(stream) if self._copied else self._encoded(stream)
        except FFmpegError:
            return  # Damaged sound is no reason to lose the picture.

    def _copies(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        for packet in self._source.demux(stream):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            shift = round(self._origin / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._target
            yield packet

    def _encoded(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        for frame in self._source.decode(stream):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._origin / frame.time_base)
            for changed in self._resampler.resample(frame):
                yield from self._target.encode(changed)
        yield from self._target.encode(None)
