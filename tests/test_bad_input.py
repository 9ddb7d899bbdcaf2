"""Bad input of every kind: one clear line on stderr, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import red_detector, small_ifq
from tinier_yolo.cli import main
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.media.images import write_image
from tinier_yolo.media.video_writer import VideoWriter

Run = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a model that finds red. In the working folder lie a good image and bad files of all kinds."""
    monkeypatch.chdir(tmp_path)
    options = red_detector.write_model(tmp_path)
    write_image("good.jpg", red_detector.picture((128, 128), (40, 40, 60, 60)))
    with VideoWriter("good.mp4", 25, (64, 64)) as writer:
        for _ in range(10):
            writer.write(red_detector.picture((64, 64)))
    for name in ("good.jpg", "good.mp4"):
        data = Path(name).read_bytes()
        Path(name.replace("good", "truncated")).write_bytes(data[: len(data) // 2])
    for name in ("empty.jpg", "empty.mp4", "empty.txt", "empty.weights", "empty.ifq", "empty.cfg"):
        Path(name).touch()
    Path("text.jpg").write_text("This is a letter, not a photograph.\n" * 20)
    Path("text.mp4").write_text("This is a letter, not a film.\n" * 20)
    Path("text.ifq").write_text("This is a letter, not a model.\n" * 20)
    Path("gone.txt").write_text("one.jpg\ntwo.jpg\n")
    Path("folder").mkdir()
    Path("loop.jpg").symlink_to("loop.jpg")
    Path("file").touch()
    return options


def refused(arguments: list[str], capsys: Run) -> str:
    """Run, check that it is refused in one line and that nothing was written; returns the line."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(["detect", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"tinier-yolo: [^\n]+\n", captured.err), captured.err
    assert sorted(Path.cwd().rglob("*")) == before
    return captured.err


SOURCES = {
    "missing.jpg": "missing.jpg: cannot read the image (found No such file or directory)",
    "empty.jpg": "empty.jpg: an empty file, not an image",
    "text.jpg": "text.jpg: not an image that OpenCV reads, or a damaged one (found text)",
    "truncated.jpg": "truncated.jpg: a truncated JPEG",
    "loop.jpg": "loop.jpg: cannot read the image (found Too many levels of symbolic links)",
    "folder": "folder: a folder without images",
    "*.gif": "*.gif: no file fits the pattern",
    "missing.txt": "missing.txt: cannot read the image list",
    "empty.txt": "empty.txt: an image list without images",
    "gone.txt": "gone.txt: line 1: none of the files of the list exists",
    "missing.mp4": "missing.mp4: cannot read the video",
    "empty.mp4": "empty.mp4: an empty file, not a video",
    "text.mp4": "text.mp4: not a video that can be read",
    "truncated.mp4": "truncated.mp4: ",
    "99": "camera 99: no such camera, or it is in use",
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_bad_source(source: str, model: list[str], capsys: Run) -> None:
    assert SOURCES[source] in refused([source, *model], capsys)


def test_in_a_batch_the_bad_ones_are_reported_and_the_others_go_on(model: list[str], capsys: Run) -> None:
    assert main(["detect", *SOURCES, "good.jpg", "good.mp4", *model]) == 1
    captured = capsys.readouterr()
    assert {json.loads(line)["source"] for line in captured.out.splitlines()} == {"good.jpg", "good.mp4"}
    for problem in SOURCES.values():
        assert captured.err.count(problem) == 1
    # A line for good.mp4 too, which cannot be called good, and the counts.
    assert len(captured.err.splitlines()) == len(SOURCES) + 2
    assert sorted(path.name for path in Path("out").iterdir()) == ["good-2.mp4", "good.jpg"]


@pytest.mark.parametrize("bad", ["folder", "empty.jpg", "text.mp4"])
def test_one_bad_source_beside_a_good_one_is_a_run_that_failed(bad: str, model: list[str], capsys: Run) -> None:
    for sources in ([bad, "good.jpg"], ["good.jpg", bad]):
        assert main(["detect", *sources, *model]) == 1
        assert SOURCES[bad] in capsys.readouterr().err


def test_a_batch_of_bad_ones_only(model: list[str], capsys: Run) -> None:
    assert main(["detect", *SOURCES, *model]) == 2
    assert len(capsys.readouterr().err.splitlines()) == len(SOURCES)
    assert not Path("out").exists()


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/out"])
def test_an_output_folder_that_cannot_be_written_is_found_before_any_work(
    out: str, model: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinier_yolo.detection.detector.Detector.load", lambda *_: pytest.fail("worked"))
    line = refused(["good.jpg", *model, "--out", out], capsys)
    assert f"{out}: cannot write into the output folder" in line


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--model", "missing.weights", "--cfg", "red.cfg"], "missing.weights: "),
        (["--model", "empty.weights", "--cfg", "red.cfg"], "empty.weights: "),
        (["--model", "short.weights", "--cfg", "red.cfg"], "short.weights: "),
        (["--model", "other.weights", "--cfg", "red.cfg"], "other.weights: "),
        (["--model", "red.weights", "--cfg", "missing.cfg"], "missing.cfg: cannot read the cfg"),
        (["--model", "red.weights", "--cfg", "empty.cfg"], "empty.cfg: no sections"),
        (["--model", "red.weights", "--cfg", "unknown-key.cfg"], "unknown-key.cfg: line 2, [net]: unknown key 'widht'"),
        (["--model", "red.weights", "--cfg", "no-net.cfg"], "no-net.cfg: line 1, [maxpool]: the cfg does not begin"),
        (["--model", "red.weights", "--cfg", "early-key.cfg"], "early-key.cfg: line 1: a key before the first section"),
        (["--model", "red.weights", "--cfg", "filters.cfg"], "wrong number of filters (expected filters=6"),
        (["--model", "red.weights"], "red.weights: weights without their cfg"),
        (["--model", "missing.ifq"], "missing.ifq: "),
        (["--model", "empty.ifq"], "empty.ifq: "),
        (["--model", "text.ifq"], "text.ifq: "),
        (["--model", "text.ifq", "--cfg", "red.cfg"], "text.ifq: an .ifq needs no cfg"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_model(options: list[str], problem: str, model: list[str], capsys: Run) -> None:
    cfg, weights = Path("red.cfg").read_text(), Path("red.weights").read_bytes()
    Path("short.weights").write_bytes(weights[:-4])
    save_weights("other.weights", red_detector.network(), red_detector.parameters())
    Path("other.weights").write_bytes(Path("other.weights").read_bytes() + b"\0" * 400)
    Path("unknown-key.cfg").write_text(cfg.replace("width=", "widht="))
    Path("no-net.cfg").write_text(cfg.partition("\n\n")[2])
    Path("early-key.cfg").write_text("width=3\n" + cfg)
    Path("filters.cfg").write_text(cfg.replace("filters=6", "filters=7"))
    assert problem in refused(["good.jpg", *options], capsys)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--size", "33"], "bad size (expected multiples of the network's stride, 32"),
        (["--size", "0"], "bad size"),
        (["--size", "32x99999968"], "bad size"),
        (["--thresh", "1.5"], "thresh is not a threshold (expected 0..1, found 1.5)"),
        (["--nms", "nan"], "nms is not a threshold"),
        (["--threads", "0"], "bad number of threads"),
    ],
)
def test_a_bad_value(options: list[str], problem: str, model: list[str], capsys: Run) -> None:
    assert problem in refused(["good.jpg", *model, *options], capsys)


def test_a_damaged_program(model: list[str], capsys: Run) -> None:
    program, weights, cfg = small_ifq.write_model(Path.cwd())
    whole = program.read_bytes()
    for position in (9, len(whole) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        program.write_bytes(flipped)
        assert "small.ifq: " in refused(["good.jpg", "--model", str(program)], capsys)
    for length in (1, 100, len(whole) - 1):
        program.write_bytes(whole[:length])
        assert "small.ifq: " in refused(["good.jpg", "--model", str(program)], capsys)
    # Weights of a float network do not fit the cfg of an IFQ network, nor the other way round.
    assert "small.weights: " in refused(["good.jpg", "--model", str(weights), "--cfg", "red.cfg"], capsys)
    assert "red.weights: " in refused(["good.jpg", "--model", "red.weights", "--cfg", str(cfg)], capsys)


def test_debug_shows_where(model: list[str], capsys: Run) -> None:
    assert main(["detect", "empty.jpg", "good.jpg", *model, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
