from __future__ import annotations

import struct
import threading
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, OutputError
from tinier_yolo.media import captures, video, video_writer
from tinier_yolo.media.captures import DEFAULT_FPS, plausible_fps
from tinier_yolo.media.video import FRAMES_AHEAD, VideoReader
from tinier_yolo.media.video_writer import VideoWriter

Picture = NDArray[np.uint8]


def frame(number: int, size: tuple[int, int] = (64, 48)) -> Picture:
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    rgb[..., 0] = 25 * number % 256
    return rgb


@pytest.fixture(params=["pyav", "opencv"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both libraries in turn, whichever are installed."""
    if request.param == "pyav":
        pytest.importorskip("av")
    else:
        for module in (video, video_writer):
            monkeypatch.setattr(module, "has_pyav", lambda: False)
    return str(request.param)


def write(path: Path, count: int = 8, fps: float = 12.5, size: tuple[int, int] = (64, 48)) -> None:
    with VideoWriter(path, fps, size) as writer:
        for number in range(count):
            writer.write(frame(number, size))


@pytest.mark.parametrize("fps", [5.0, 12.5, 25.0, 30000 / 1001, 59.94])
def test_frames_and_frame_rate_come_back(fps: float, library: str, tmp_path: Path) -> None:
    write(tmp_path / "folder" / "clip.mp4", fps=fps)
    with VideoReader(tmp_path / "folder" / "clip.mp4") as reader:
        assert reader.fps == pytest.approx(fps, rel=1e-3)
        assert reader.frame_count == 8
        frames = list(reader.frames())
    assert len(frames) == 8
    for number, found in enumerate(frames):
        assert found.shape == (48, 64, 3)
        # red, and nothing but red
        assert found.reshape(-1, 3).mean(axis=0).tolist() == pytest.approx([25 * number, 0, 0], abs=12)


def test_nothing_but_the_video_is_left(library: str, tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("size", [(63, 47), (16, 16)])
def test_odd_sizes_can_be_written(size: tuple[int, int], library: str, tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", size=size)
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert sum(1 for _ in reader.frames()) == 8


def write_until(path: Path, error: BaseException) -> None:
    """Write three frames, then fail."""
    with VideoWriter(path, 25, (64, 48)) as writer:
        for number in range(3):
            writer.write(frame(number))
        raise error


def test_an_error_leaves_the_old_file_alone(library: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        write_until(path, RuntimeError())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_ends_the_video_where_it_is(library: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(KeyboardInterrupt):
        write_until(path, KeyboardInterrupt())
    with VideoReader(path) as reader:
        assert sum(1 for _ in reader.frames()) == 3
    assert list(tmp_path.iterdir()) == [path]


def write_until_inside(path: Path, count: int) -> None:
    """Write some frames; the next one is interrupted, of which Python tells after the encoder's call."""
    with VideoWriter(path, 25, (64, 48)) as writer:
        for number in range(count):
            writer.write(frame(number))
        write = writer._encoder.write

        def interrupted(rgb: Picture, time: float) -> None:
            if count:
                write(rgb, time)
            raise KeyboardInterrupt

        writer._encoder.write = interrupted  # type: ignore[method-assign]
        writer.write(frame(count))


@pytest.mark.parametrize("count", [0, 3])
def test_ctrl_c_inside_the_encoder_keeps_what_was_written(library: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(KeyboardInterrupt):
        write_until_inside(path, count)
    if count:
        with VideoReader(path) as reader:
            assert sum(1 for _ in reader.frames()) == count + 1
    else:
        assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_video_without_a_decoder_is_one_line(library: str, tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(3):
        writer.write(frame(number))
    writer.release()
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"XXXX"))
    with pytest.raises(MediaError):
        VideoReader(path)


def test_a_frame_of_another_size_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="size of the frames changes"),
        VideoWriter(tmp_path / "x.mp4", 25, (64, 48)) as writer,
    ):
        writer.write(frame(0, (48, 64)))


def test_a_video_that_cannot_be_written_is_an_error(library: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        VideoWriter(tmp_path / "file" / "x.mp4", 25, (64, 48))


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("empty.mp4", b"", "an empty file, not a video"),
        ("text.mp4", b"this is no video\n" * 100, "not a video that can be read"),
        ("folder.mp4", None, "Is a directory"),
        ("missing.mp4", None, "No such file"),
    ],
)
def test_bad_files_are_one_line(name: str, data: bytes | None, problem: str, library: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    elif name.startswith("folder"):
        path.mkdir()
    with pytest.raises(MediaError, match=f"{name}.*{problem}"):
        VideoReader(path)


def test_a_truncated_video_is_an_error_or_ends_early(library: str, tmp_path: Path) -> None:
    write(tmp_path / "whole.mp4", count=30)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    found: list[Picture] = []
    with suppress(MediaError), VideoReader(tmp_path / "half.mp4") as reader:
        found.extend(reader.frames())
    assert len(found) < 27


class Kept(list[int]):
    """What a function for each frame was called with, and in which threads."""

    threads: set[threading.Thread]

    def __init__(self) -> None:
        self.threads = set()

    def __call__(self, rgb: Picture) -> int:
        self.threads.add(threading.current_thread())
        self.append(round(float(rgb[..., 0].mean() / 25)))
        return self[-1]


def test_frames_that_are_kept_stay_as_they_are(library: str, tmp_path: Path) -> None:
    # The decoder's memory is used again for each frame.
    write(tmp_path / "clip.mp4")
    with VideoReader(tmp_path / "clip.mp4") as reader:
        frames = list(reader.frames())
    assert [round(float(found[..., 0].mean() / 25)) for found in frames] == list(range(8))


def test_each_frame_is_prepared_in_one_thread_beside_the_caller(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", count=10)
    prepare = Kept()
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert list(reader.each(prepare)) == list(range(10))
    assert len(prepare.threads) == 1
    assert threading.current_thread() not in prepare.threads


def test_one_by_one_nothing_is_done_ahead(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", count=10)
    prepare = Kept()
    with VideoReader(tmp_path / "clip.mp4") as reader:
        for number, made in enumerate(reader.one_by_one(prepare)):
            assert (made, len(prepare)) == (number, number + 1)
    assert len(prepare) == 10
    assert prepare.threads == {threading.current_thread()}


def test_a_file_is_read_a_few_frames_ahead_and_closing_ends_that(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", count=10)
    prepare = Kept()
    with VideoReader(tmp_path / "clip.mp4") as reader:
        frames = reader.each(prepare)
        next(frames)
        end = time.monotonic() + 10
        while len(prepare) < FRAMES_AHEAD + 2 and time.monotonic() < end:
            time.sleep(0.002)
        assert len(prepare) == FRAMES_AHEAD + 2
        frames.close()
    assert len(prepare) <= FRAMES_AHEAD + 3
    assert not any(thread.is_alive() for thread in prepare.threads)


def test_an_error_in_the_thread_comes_at_its_frame(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4")

    def prepare(rgb: Picture) -> int:
        number = round(float(rgb[..., 0].mean() / 25))
        if number == 4:
            raise MediaError("no more", path="clip.mp4", place="frame 4")
        return number

    found: list[int] = []
    with VideoReader(tmp_path / "clip.mp4") as reader, pytest.raises(MediaError, match="frame 4: no more"):
        found.extend(reader.each(prepare))
    assert found == [0, 1, 2, 3]


def test_a_file_that_opens_and_gives_no_frame_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    capture = camera(monkeypatch, 0, hangs=False)
    (tmp_path / "clip.mp4").write_bytes(b"video")
    for read in (lambda reader: reader.frames(), lambda reader: reader.one_by_one(lambda rgb: rgb)):
        with (
            VideoReader(tmp_path / "clip.mp4") as reader,
            pytest.raises(MediaError, match=r"clip.mp4: opens but gives no"),
        ):
            list(read(reader))
        assert capture.released.is_set()


def test_a_reader_that_is_left_unread_is_released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    capture = camera(monkeypatch, 5, hangs=False)
    (tmp_path / "clip.mp4").write_bytes(b"video")
    with VideoReader(tmp_path / "clip.mp4"):
        pass
    assert capture.released.is_set()


def test_the_capture_is_released_in_the_thread_that_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    capture = camera(monkeypatch, 1000, hangs=False)
    (tmp_path / "clip.mp4").write_bytes(b"video")
    with VideoReader(tmp_path / "clip.mp4") as reader:
        frames = reader.frames()
        next(frames)
        frames.close()
    assert capture.released.is_set()
    assert capture.threads.isdisjoint({threading.current_thread()})
    assert len(capture.threads) == 1


@pytest.mark.parametrize("number", [99, 10**12])
def test_a_camera_that_is_not_there_is_an_error(number: int) -> None:
    with pytest.raises(MediaError, match=f"camera {number}: no such camera"):
        VideoReader(number)


class FakeCapture:
    """A camera: gives its frames, then stops or hangs."""

    def __init__(self, frames: int, hangs: bool) -> None:
        self.frames, self.hangs = frames, hangs
        self.wakes, self.released = threading.Event(), threading.Event()
        self.threads: set[threading.Thread] = set()

    def open(self, _source: object) -> bool:
        return True

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def get(self, _property: int) -> float:
        return 0.0

    def read(self, _memory: Picture | None) -> tuple[bool, Picture | None]:
        self.threads.add(threading.current_thread())
        if self.frames:
            self.frames -= 1
            return True, frame(4)[..., ::-1]
        if self.hangs:
            self.wakes.wait()
        return False, None

    def release(self) -> None:
        self.threads.add(threading.current_thread())
        self.released.set()


def camera(monkeypatch: pytest.MonkeyPatch, frames: int, hangs: bool) -> FakeCapture:
    capture = FakeCapture(frames, hangs)
    monkeypatch.setattr(video, "has_pyav", lambda: False)
    monkeypatch.setattr(captures, "_open", lambda *_: capture)
    return capture


def test_a_camera_gives_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = camera(monkeypatch, 5, hangs=False)
    with VideoReader(0) as reader:
        assert (reader.fps, reader.frame_count) == (DEFAULT_FPS, None)
        frames = list(reader.frames())
    assert len(frames) == 5
    assert frames[0][0, 0].tolist() == [100, 0, 0]
    assert capture.released.wait(10)


def test_a_camera_that_opens_and_gives_no_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    camera(monkeypatch, 0, hangs=False)
    with VideoReader(0) as reader, pytest.raises(MediaError, match="camera 0: opens but gives no frame"):
        list(reader.frames())


@pytest.mark.parametrize("frames", [0, 3])
def test_a_camera_that_hangs_is_an_error_after_a_while(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = camera(monkeypatch, frames, hangs=True)
    found = []
    with (
        VideoReader(0, timeout=0.05) as reader,
        pytest.raises(MediaError, match=r"no frame \(expected one within 0.05 s"),
    ):
        found.extend(reader.frames())
    capture.wakes.set()
    assert capture.released.wait(10)


def test_a_camera_is_read_hardly_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    camera(monkeypatch, 1000, hangs=False)
    prepare = Kept()
    with VideoReader(0) as reader:
        frames = reader.each(prepare)
        next(frames)
        time.sleep(0.05)
        # One with the caller, one that waits, one that has no room.
        assert len(prepare) <= 3
        frames.close()


def test_leaving_a_camera_releases_it(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = camera(monkeypatch, 1000, hangs=False)
    with VideoReader(0) as reader:
        frames = reader.frames()
        next(frames)
        frames.close()
    assert capture.released.wait(10)


@pytest.mark.parametrize(
    ("told", "used"), [(0, DEFAULT_FPS), (float("nan"), DEFAULT_FPS), (90_000, DEFAULT_FPS), (24, 24)]
)
def test_nonsense_frame_rates_are_replaced(told: float, used: float) -> None:
    assert plausible_fps(told) == used


def write_all(path: Path, pictures: Picture) -> None:
    with VideoWriter(path, 25, (pictures.shape[2], pictures.shape[1])) as writer:
        for picture in pictures:
            writer.write(picture)


def test_a_full_disk_is_an_error_and_leaves_nothing(library: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 256, (20, 120, 160, 3), dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"clip.mp4: "):
            write_all(tmp_path / "clip.mp4", noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_the_temporary_name_cannot_be_guessed(library: str, tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with VideoWriter(tmp_path / "clip.mp4", 25, (64, 48)) as writer:
            writer.write(frame(0))
            names |= {path.name for path in tmp_path.iterdir() if path.name != "clip.mp4"}
    assert len(names) == 3


def test_a_colon_in_a_name_is_no_protocol(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "10:30:00.mp4")
    for name in ("10:30:00.mp4", "./10:30:00.mp4", str(tmp_path / "10:30:00.mp4")):
        with VideoReader(name) as reader:
            assert len(list(reader.frames())) == 8


def test_a_rotation_is_done(library: str, tmp_path: Path) -> None:
    # As a phone held upright writes it: the matrix of the track header turns the picture clockwise.
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 255
    with VideoWriter(tmp_path / "clip.mp4", 25, (64, 48)) as writer:
        for _ in range(3):
            writer.write(picture)
    data = bytearray((tmp_path / "clip.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    with VideoReader(tmp_path / "turned.mp4") as reader:
        turned = next(iter(reader.frames()))
    assert turned.shape == (64, 48, 3)
    assert [turned[16, 12, 0] > 128, turned[16, 36, 0] > 128, turned[48, 36, 0] > 128] == [False, True, False]


def encode(
    path: Path, codec: str, times: list[float] | None = None, interlaced: bool = False, container: str | None = None
) -> None:
    """Ten bright frames, 64x48, encoded by FFmpeg; times in seconds."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25 if times is None else 1000)
        stream.width, stream.height, stream.pix_fmt = (
            (720, 576, "yuv420p") if codec == "dvvideo" else (64, 48, "yuv420p")
        )
        if interlaced and codec != "dvvideo":
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        for number in range(10):
            picture = np.full((stream.height, stream.width, 3), 100 + 10 * number, np.uint8)
            made = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                made.pts, made.time_base = round(times[number] * 1000), Fraction(1, 1000)
            output.mux(stream.encode(made))
        output.mux(stream.encode(None))


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg2video", ".mpg"), ("libx264", ".mp4"), ("dvvideo", ".dv")])
def test_interlaced_frames_are_read_or_refused_and_never_black(
    codec: str, suffix: str, library: str, tmp_path: Path
) -> None:
    path = tmp_path / f"clip{suffix}"
    encode(path, codec, interlaced=True)
    problem = ""
    try:
        with VideoReader(path) as reader:
            means = [float(rgb.mean()) for rgb in reader.frames()]
    except MediaError as error:
        problem, means = str(error), []
    if library == "pyav" or not problem:
        assert means == pytest.approx([100 + 10 * number for number in range(10)], abs=6)
    else:
        assert "pip install av" in problem


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_time_stamps_are_those_of_the_file(suffix: str, library: str, tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.067, 0.1, 0.2, 0.233, 0.3, 0.34, 0.36, 0.4]
    encode(tmp_path / f"clip{suffix}", "libvpx", times=times)
    with VideoReader(tmp_path / f"clip{suffix}") as reader:
        assert 20 < reader.fps < 30
        found = [time for time, _ in reader.stamped(lambda _: None)]
    assert found == pytest.approx(times, abs=0.0015)


def test_the_times_and_the_sound_of_the_source_are_written(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    tone = (np.sin(np.arange(22_050) / 10) * 8000).astype(np.int16)
    with av.open(str(tmp_path / "in.avi"), "w") as output:
        picture, sound = output.add_stream("mpeg4", rate=10), output.add_stream("pcm_s16le", rate=22_050)
        picture.width, picture.height, picture.pix_fmt, sound.layout = 64, 48, "yuv420p", "mono"
        for number in range(10):
            output.mux(picture.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        samples = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        samples.sample_rate = 22_050
        output.mux(sound.encode(samples))
        output.mux(picture.encode(None))
    with (
        VideoReader(tmp_path / "in.avi") as reader,
        VideoWriter(tmp_path / "out.mp4", reader.fps, (64, 48), tmp_path / "in.avi") as writer,
    ):
        for time_of_frame, rgb in reader.stamped(lambda rgb: rgb):
            writer.write(rgb, time_of_frame)
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert found.streams.video[0].codec_context.name == "h264"
        assert [round(float(made.time), 3) for made in found.decode(video=0)] == [number / 10 for number in range(10)]
    with av.open(str(tmp_path / "out.mp4")) as found:
        heard = np.concatenate([made.to_ndarray()[0] for made in found.decode(audio=0)])
    assert len(heard) == pytest.approx(22_050, abs=3000)
    assert np.abs(heard).mean() == pytest.approx(np.abs(tone).mean() / 32768, rel=0.4)


def test_a_packet_that_cannot_be_decoded_is_told_of(tmp_path: Path) -> None:
    pytest.importorskip("av")
    write_all(tmp_path / "clip.mp4", np.random.default_rng(0).integers(0, 256, (10, 48, 64, 3), dtype=np.uint8))
    data = bytearray((tmp_path / "clip.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    half = (len(data) - start) // 2
    data[start + half :] = bytes(len(data) - start - half)
    (tmp_path / "clip.mp4").write_bytes(data)
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert 0 < len(list(reader.frames())) < 10
        assert "packets cannot be decoded" in reader.damage


def test_raw_streams_have_times_too(library: str, tmp_path: Path) -> None:
    encode(tmp_path / "clip.h264", "libx264", container="h264")
    with VideoReader(tmp_path / "clip.h264") as reader:
        times = [time for time, _ in reader.stamped(lambda _: None)]
    assert len(times) == 10
    assert np.diff(times) == pytest.approx(1 / reader.fps, rel=0.05)
