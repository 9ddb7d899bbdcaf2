from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import red_detector
from tinier_yolo.bulk import local
from tinier_yolo.cli import detect, main
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.media.images import read_image, write_image
from tinier_yolo.media.video import VideoReader
from tinier_yolo.media.video_writer import VideoWriter

Run = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a model that finds red; the working folder is a temporary one."""
    monkeypatch.chdir(tmp_path)
    return red_detector.write_model(tmp_path)


def photo(path: str, size: tuple[int, int] = (128, 128), box: tuple[int, int, int, int] = (40, 40, 60, 60)) -> None:
    write_image(path, red_detector.picture(size, box))


def clip(path: str, frames: int = 6, fps: float = 12.5) -> None:
    with VideoWriter(path, fps, (128, 128)) as writer:
        for number in range(frames):
            left = 32 * (number % 4)
            writer.write(red_detector.picture((128, 128), (left, 32, left + 32, 64)))


def lines(capsys: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def files(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_an_image_gives_a_line_and_a_picture(model: list[str], capsys: Run) -> None:
    photo("a.png")
    assert main(["detect", "a.png", *model]) == 0
    (line,) = lines(capsys)
    (detection,) = line.pop("detections")  # type: ignore[misc]
    assert line == {"source": "a.png", "width": 128, "height": 128}
    assert detection["box"] == [32, 32, 64, 64]
    assert detection["score"] > 0.99
    assert detection["class"] == "face"
    drawn, plain = read_image("out/a.png"), read_image("a.png")
    assert drawn.shape == plain.shape
    assert (drawn[31, 32:64] != plain[31, 32:64]).any()


def test_frames_of_another_size_are_fitted_into_the_video(
    model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip("a.mp4")
    found = local.detect_frames

    def changing(*given: Any, **how: Any) -> Iterator[local.Found]:
        for number, frame in enumerate(found(*given, **how)):
            assert frame.rgb is not None
            yield replace(frame, rgb=np.ascontiguousarray(frame.rgb[:, :64])) if number > 2 else frame

    monkeypatch.setattr(local, "detect_frames", changing)
    assert main(["detect", "a.mp4", *model]) == 0
    assert len(lines(capsys)) == 6
    with VideoReader("out/a.mp4") as reader:
        assert [frame.shape for frame in reader.frames()] == [(128, 128, 3)] * 6


def test_messages_go_to_stderr(model: list[str], capsys: Run) -> None:
    photo("a.png")
    assert main(["detect", "a.png", *model]) == 0
    assert capsys.readouterr().err == "pictures: 1, detections: 1; drawn into out\n"
    assert main(["detect", "a.png", "a.png", *model]) == 0
    told, counts = capsys.readouterr().err.splitlines()
    assert told == "tinier-yolo: a.png: written as a-2, as a is taken"
    assert re.fullmatch(r"pictures: 2, detections: 2, \d+\.\d frames/s; drawn into out", counts)


@pytest.mark.parametrize(("form", "named"), [("jsonl", False), ("yolo", True)])
def test_a_name_is_told_where_something_goes_by_it(model: list[str], capsys: Run, form: str, named: bool) -> None:
    photo("a.png")
    clip("clip.mp4", frames=1)
    assert main(["detect", "a.png", "a.png", "clip.mp4", "clip.mp4", *model, "--no-save", "--format", form]) == 0
    told = capsys.readouterr().err
    assert [f"written as {name}-2" in told for name in ("a", "clip")] == [named, named]


def test_no_save_writes_nothing(model: list[str], capsys: Run) -> None:
    photo("a.png")
    assert main(["detect", "a.png", *model, "--no-save"]) == 0
    assert len(lines(capsys)) == 1
    assert not Path("out").exists()


def test_folder_pattern_list_image_and_video_at_once(model: list[str], capsys: Run) -> None:
    for path in ("folder/b.png", "folder/a/c.png", "x1.png", "x2.png", "listed.png", "single.png"):
        photo(path)
    clip("clip.mp4")
    Path("list.txt").write_bytes(b"listed.png\r\n\r\n")
    assert main(["detect", "folder", "x?.png", "list.txt", "single.png", "clip.mp4", *model]) == 0
    found = lines(capsys)
    images = ["folder/a/c.png", "folder/b.png", "x1.png", "x2.png", "listed.png", "single.png"]
    assert [line["source"] for line in found] == [*images, *["clip.mp4"] * 6]
    assert [line["frame"] for line in found[6:]] == list(range(6))
    assert all(len(line["detections"]) == 1 for line in found)  # type: ignore[arg-type]
    assert files("out") == ["a/c.png", "b.png", "clip.mp4", "listed.png", "single.png", "x1.png", "x2.png"]


def test_a_video_that_could_not_be_written_is_not_called_drawn(
    model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip("clip.mp4")
    assert main(["detect", "clip.mp4", *model]) == 0
    assert "; drawn into out" in capsys.readouterr().err
    monkeypatch.setattr("tinier_yolo.media.video_writer._frames_in", lambda _: 3)
    assert main(["detect", "clip.mp4", *model, "--out", "second"]) == 1
    told = capsys.readouterr().err
    assert "the video is not whole" in told
    assert "drawn into" not in told


def test_a_video_keeps_its_frame_rate(model: list[str]) -> None:
    clip("clip.mp4", fps=12.5)
    assert main(["detect", "clip.mp4", *model]) == 0
    with VideoReader("out/clip.mp4") as reader:
        assert reader.fps == pytest.approx(12.5)
        frames = list(reader.frames())
    assert len(frames) == 6
    # the frame around the square of the second frame
    assert frames[1][31, 32:64].mean(axis=0)[1] > 150


def test_a_video_that_ends_early_is_told_of(model: list[str], capsys: Run) -> None:
    writer = cv2.VideoWriter("whole.avi", cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 128))
    for _ in range(40):
        writer.write(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    writer.release()
    data = Path("whole.avi").read_bytes()
    Path("half.avi").write_bytes(data[: len(data) // 2])
    assert main(["detect", "whole.avi", *model, "--no-save"]) == 0
    assert "ends early" not in capsys.readouterr().err
    assert main(["detect", "half.avi", *model, "--no-save"]) == 1
    captured = capsys.readouterr()
    assert 10 < len(captured.out.splitlines()) < 25
    assert "half.avi: the video ends early, after" in captured.err


def test_the_defaults_are_those_of_the_detector() -> None:
    parser = argparse.ArgumentParser()
    detect.add_arguments(parser)
    args = parser.parse_args(["a.jpg"])
    assert (args.thresh, args.nms) == (THRESH, NMS)


def test_exif_orientation_is_honoured(model: list[str], capsys: Run) -> None:
    from tests.media.test_images import jpeg_with_orientation

    stored = red_detector.picture((128, 64), (0, 0, 32, 32))
    Path("photo.jpg").write_bytes(jpeg_with_orientation(stored, 6))
    assert main(["detect", "photo.jpg", *model]) == 0
    (line,) = lines(capsys)
    assert (line["width"], line["height"]) == (64, 128)
    (detection,) = line["detections"]  # type: ignore[misc]
    # Turned clockwise: the red of the upper left corner is in the upper right one.
    assert detection["box"] == [32, 0, 64, 32]
    assert read_image("out/photo.jpg").shape == (128, 64, 3)


def test_two_sources_of_one_name_do_not_meet(model: list[str]) -> None:
    photo("a/x.png", (64, 64))
    photo("b/x.png", (96, 96))
    assert main(["detect", "a/x.png", "b/x.png", "a", *model]) == 0
    assert [read_image(f"out/{name}.png").shape[0] for name in ("x", "x-2", "x-3")] == [64, 96, 64]


def test_the_source_itself_is_never_written_over(model: list[str]) -> None:
    photo("a.png")
    before = Path("a.png").read_bytes()
    assert main(["detect", "a.png", *model, "--out", "."]) == 0
    assert Path("a.png").read_bytes() == before
    assert Path("a-2.png").exists()


def test_the_output_of_one_run_is_no_source_of_the_next(model: list[str], capsys: Run) -> None:
    photo("a.png")
    for _ in range(2):
        assert main(["detect", ".", *model]) == 0
        assert len(lines(capsys)) == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "yolo", "fddb", "wider"])
def test_formats(form: str, model: list[str], capsys: Run) -> None:
    photo("event/a.png")
    clip("clip.mp4", frames=2)
    assert main(["detect", "event", "clip.mp4", *model, "--format", form, "--no-save"]) == 0
    output = capsys.readouterr().out
    if form == "json":
        assert [entry["source"] for entry in json.loads(output)] == ["event/a.png", "clip.mp4", "clip.mp4"]
    elif form == "csv":
        assert [row.split(",")[0] for row in output.splitlines()] == ["source", "event/a.png", "clip.mp4", "clip.mp4"]
    elif form == "fddb":
        assert output.splitlines()[::3] == ["a", "clip/000000", "clip/000001"]
    elif form in ("yolo", "wider"):
        assert output == ""
        classes = ["classes.txt", "clip/classes.txt"] if form == "yolo" else []
        assert files("out") == sorted(["a.txt", "clip/000000.txt", "clip/000001.txt", *classes])
    if form == "yolo":
        assert Path("out/classes.txt").read_text() == "face\n"
        assert Path("out/a.txt").read_text() == "0 0.375000 0.375000 0.250000 0.250000\n"


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "yolo", "fddb", "wider"])
def test_a_name_that_is_not_utf_8_is_taken(form: str, model: list[str], capsys: Run) -> None:
    photo("event/a.png")
    Path("event/a.png").rename(os.fsdecode(b"event/a\xff.png"))
    assert main(["detect", "event", *model, "--format", form]) == 0
    assert r"a\udcff" in capsys.readouterr().out + "".join(files("out"))
    assert r"a\udcff.png" in files("out")


@pytest.mark.parametrize("size", ["64", "64x128", "160X32"])
def test_size_is_the_networks_input(size: str, model: list[str], capsys: Run) -> None:
    photo("a.png", (64, 64), (0, 0, 64, 64))
    assert main(["detect", "a.png", *model, "--no-save", "--size", size]) == 0
    assert len(lines(capsys)[0]["detections"]) > 0  # type: ignore[arg-type]


def test_thresholds_reach_the_detector(model: list[str], capsys: Run) -> None:
    photo("a.png")
    assert main(["detect", "a.png", *model, "--no-save", "--thresh", "1"]) == 0
    assert lines(capsys)[0]["detections"] == []
    assert main(["detect", "a.png", *model, "--no-save", "--thresh", "0", "--nms", "1"]) == 0
    assert len(lines(capsys)[0]["detections"]) == 16  # type: ignore[arg-type]


def test_show_without_a_display_says_so_and_goes_on(
    model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("tinier_yolo.media.display.has_display", lambda: False)
    photo("a.png")
    assert main(["detect", "a.png", *model, "--show"]) == 0
    assert "no display" in capsys.readouterr().err
    assert Path("out/a.png").exists()


def test_show_ends_where_the_user_quits(model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bool] = []
    monkeypatch.setattr("tinier_yolo.media.display.has_display", lambda: True)
    monkeypatch.setattr("tinier_yolo.media.display.Window.show", lambda *args: shown.append(args[2]) or len(shown) < 3)
    monkeypatch.setattr("tinier_yolo.media.display.Window.close", lambda _: None)
    photo("a.png")
    clip("clip.mp4")
    assert main(["detect", "a.png", "clip.mp4", "a.png", *model, "--show"]) == 0
    assert shown == [True, False, False]
    assert len(lines(capsys)) == 3
    with VideoReader("out/clip.mp4") as reader:
        assert len(list(reader.frames())) == 2


class Camera:
    """cv2.VideoCapture of a camera that gives three red squares, then raises KeyboardInterrupt in the main thread."""

    def __init__(self) -> None:
        self.count = 0

    def open(self, _number: int) -> bool:
        return True

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def get(self, _property: int) -> float:
        return 10.0

    def read(self, _memory: object) -> tuple[bool, object]:
        self.count += 1
        if self.count == 4:
            threading.Event().wait(0.5)  # for the frames before to be detected, on a busy machine too
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(0.2)
        return True, np.ascontiguousarray(red_detector.picture((64, 64), (0, 0, 32, 32))[..., ::-1])

    def release(self) -> None:
        pass


def test_ctrl_c_ends_a_camera(model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the tests run in the background the signal may be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("tinier_yolo.media.captures._open", lambda *_: Camera())
            assert main(["detect", "0", *model, "--format", "json"]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    found = json.loads(capsys.readouterr().out)
    assert 1 <= len(found) <= 4
    assert found[0]["source"] == "0"
    with VideoReader("out/camera-0.mp4") as reader:
        # The video has the times at which the frames came, so that its rate is that of this machine.
        assert 0 < reader.fps < 1000
        assert abs(len(list(reader.frames())) - len(found)) <= 1


def test_ctrl_c_leaves_whole_files(model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        photo(f"photos/{number}.png")
    writes: list[object] = []

    def interrupt(path: object, rgb: object) -> None:
        writes.append(path)
        if len(writes) == 3:
            raise KeyboardInterrupt
        write_image(path, rgb)  # type: ignore[arg-type]

    monkeypatch.setattr("tinier_yolo.media.images.write_image", interrupt)
    assert main(["detect", "photos", *model, "--format", "json"]) == 130
    captured = capsys.readouterr()
    assert [entry["source"] for entry in json.loads(captured.out)] == ["photos/0.png", "photos/1.png", "photos/2.png"]
    assert captured.err.endswith("interrupted\n")
    assert files("out") == ["0.png", "1.png"]


def test_a_closed_pipe_is_no_traceback(model: list[str], root: Path) -> None:
    for number in range(20):
        photo(f"photos/{number}.png")
    command = [sys.executable, "-m", "tinier_yolo", "detect", "photos", "--no-save", *model]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "options",
    [["--size", "large"], ["--size", "1x2x3"], ["--size", "-32"], ["--format", "xml"], ["--thresh", "high"], []],
)
def test_bad_options_are_bad_usage(options: list[str], capsys: Run) -> None:
    sources = ["a.png"] if options else []
    with pytest.raises(SystemExit) as caught:
        main(["detect", *sources, *options])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tinier-yolo detect: ")
    assert line.endswith(" (see tinier-yolo detect --help)")


def start(*arguments: str, **streams: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(detect.__file__).parents[2])}
    command = [sys.executable, "-m", "tinier_yolo", "detect", *arguments]
    return subprocess.Popen(command, text=True, env=environment, stderr=subprocess.PIPE, **streams)


def test_sigterm_leaves_whole_files(model: list[str]) -> None:
    clip("clip.mp4", frames=600)
    with Path("found.json").open("w") as file:
        process = start("clip.mp4", *model, "--format", "json", stdout=file)
        while process.poll() is None and Path("found.json").stat().st_size < 4096:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate()
    if process.returncode != 0:  # It may have been quicker.
        assert process.returncode == 128 + signal.SIGTERM
        assert error.endswith("terminated\n")
    frames = len(json.loads(Path("found.json").read_text()))
    assert frames > 10
    assert files("out") == ["clip.mp4"]
    with VideoReader("out/clip.mp4") as reader:
        assert abs(len(list(reader.frames())) - frames) <= 1


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_standard_streams(closed: int, model: list[str]) -> None:
    photo("a.png")
    process = start("a.png", *model, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(closed))
    output, error = process.communicate()
    assert process.returncode == (1 if closed == 1 else 0)
    assert output.count("\n") == (0 if closed == 1 else 1)
    assert "Traceback" not in error
    assert ("standard output: Bad file descriptor" in error) == (closed == 1)


def test_libraries_write_nothing_of_their_own(model: list[str]) -> None:
    photo("a.jpg")
    data = Path("a.jpg").read_bytes()
    # libjpeg warns of bytes between the pixels and the end.
    Path("a.jpg").write_bytes(data[:-2] + b"\1\2\3" + data[-2:])
    process = start("a.jpg", *model, "--no-save", stdout=subprocess.PIPE)
    _, error = process.communicate()
    assert error == "pictures: 1, detections: 1\n"


def test_an_image_comes_from_the_standard_input(model: list[str]) -> None:
    photo("a.png")
    with Path("a.png").open("rb") as file:
        process = start("-", *model, stdin=file, stdout=subprocess.PIPE)
        output, _ = process.communicate()
    assert json.loads(output)["source"] == "-"
    assert files("out") == ["stdin.png"]


def test_a_full_disk_fails_and_leaves_no_video(model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    clip("clip.mp4")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        assert main(["detect", "clip.mp4", *model]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "clip.mp4: " in capsys.readouterr().err
    assert files("out") == []


def test_frames_have_times(model: list[str], capsys: Run) -> None:
    clip("clip.mp4", fps=12.5)
    assert main(["detect", "clip.mp4", *model, "--no-save"]) == 0
    assert [line["time"] for line in lines(capsys)] == pytest.approx([number / 12.5 for number in range(6)])


@pytest.mark.parametrize("sources", [["images/*/*.png"], ["images/1--Zoo/a.png", "images/2--Sea/a.png"], ["images"]])
def test_wider_files_keep_the_event(sources: list[str], model: list[str]) -> None:
    photo("images/1--Zoo/a.png")
    photo("images/2--Sea/a.png")
    assert main(["detect", *sources, *model, "--format", "wider", "--no-save", "--out", "found"]) == 0
    assert files("found") == ["1--Zoo/a.txt", "2--Sea/a.txt"]


def test_files_of_one_stem_are_told_of(model: list[str], capsys: Run) -> None:
    for suffix in ("png", "bmp", "jpg", "webp", "ppm"):
        photo(f"a.{suffix}")
    assert main(["detect", "a.png", "a.bmp", "a.jpg", "a.webp", "a.ppm", *model, "--format", "yolo", "--no-save"]) == 0
    assert files("out") == ["a-2.txt", "a-3.txt", "a-4.txt", "a-5.txt", "a.txt", "classes.txt"]
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "tinier-yolo: a.bmp: written as a-2, as a is taken"
    assert told[3] == "tinier-yolo: 4 sources have another name in the output than their own"


@pytest.mark.parametrize("form", ["csv", "fddb"])
def test_a_name_forges_no_record_and_obeys_no_terminal(form: str, model: list[str], capsys: Run) -> None:
    photo("a.png")
    Path("a.png").rename("=\x1b[2J\nb.png")
    assert main(["detect", "=\x1b[2J\nb.png", *model, "--format", form]) == 0
    output, error = capsys.readouterr()
    assert "\x1b" not in output + error
    assert len(output.splitlines()) == (2 if form == "csv" else 3)
    assert "=\\x1b[2J\\nb.png" in files("out")
    if form == "csv":
        assert output.splitlines()[1].startswith("./=")


def test_pictures_that_are_not_read_are_told_of(model: list[str], capsys: Run) -> None:
    photo("photos/a.png")
    for name in ("b.HEIC", "c.heic", "d.mp4"):
        (Path("photos") / name).write_bytes(b"")
    assert main(["detect", "photos", *model, "--no-save"]) == 0
    expected = "photos: left out 2 HEIC (not read: convert to JPEG) and 1 video (name them, or 'FOLDER/*.mp4')"
    assert expected in capsys.readouterr().err
    Path("photos/a.png").unlink()
    assert main(["detect", "photos", *model, "--no-save"]) == 2
    assert "a folder without images (expected files such as .jpg or .png, found 2 HEIC" in capsys.readouterr().err


def test_several_streams_are_followed_at_once(model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.media.test_streams import FakeStream

    captures = {f"rtsp://host/{number}": FakeStream([frames], frames) for number, frames in enumerate((3, 5))}
    monkeypatch.setattr("tinier_yolo.media.video._open", lambda source, *_: captures[source])
    Path("all.streams").write_text("rtsp://host/0\nrtsp://host/1\n")
    assert main(["detect", "all.streams", *model, "--no-save"]) == 0
    sources = [line["source"] for line in lines(capsys)]
    assert sorted(sources) == ["rtsp://host/0"] * 3 + ["rtsp://host/1"] * 5
