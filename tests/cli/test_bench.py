"""``tinier-yolo bench``: what it reports, not how fast it is."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tests import small_ifq
from tinier_yolo.cli import bench, main
from tinier_yolo.darknet.network import Network
from tinier_yolo.media.video_writer import VideoWriter

Run = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    small_ifq.write_model(tmp_path)
    return "small.ifq"


def test_json(model: str, capsys: Run) -> None:
    assert main(["bench", "--model", model, "--size", "96x64", "--runs", "3", "--no-startup", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["width"], report["height"], report["threads"], report["runs"]) == (96, 64, 1, 3)
    assert [step["layer"] for step in report["steps"]] == [0, 1, 2, 3, 4, 5]
    network = Network.parse(small_ifq.CFG).resized(96, 64)
    assert [step["macs"] for step in report["steps"]] == [layer.macs for layer in network.layers if layer.macs]
    assert [step["planes"] for step in report["steps"]] == [8, 2, 2, 2, 2, 2]
    times = [report["whole"], *(step["timing"] for step in report["steps"])]
    assert all(0 < time["best"] <= time["median"] for time in times)
    assert report["peak"] > 1e8
    assert report["image_peak"] > 1e8
    assert set(report["machine"]) == {"cpu", "arch", "vectors", "counts", "looks_up", "numba", "llvm", "cache"}
    # Two planes a map, a border of one cell where a 3x3 convolution follows, planes padded to cache lines.
    sizes = [(50, 34, 1), (26, 18, 1), (14, 10, 1), (8, 6, 1), (3, 2, 0)]
    maps = sum(2 * math.ceil((width * height + 4) / 64) * 64 for width, height, _ in sizes)
    assert report["map_bytes"] == maps + 4 * math.ceil(6 / 4) * 4 * 16
    assert report["scratch_bytes"] == 0  # No layer is wide enough to be looked up.


def test_table(model: str, capsys: Run) -> None:
    assert main(["bench", "--cfg", "small.cfg", "--runs", "2", "--no-startup"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("small.cfg, random weights, 128x128, 1 thread, 2 runs\n")
    assert re.search(r"^    0  convolve image, pool +[0-9.]+ +[0-9.]+ +3,538,944 +[0-9.]+ +[0-9]+%$", out, re.MULTILINE)
    assert re.search(r"^    5  convolve +[0-9.]+ +[0-9.]+ +1,536 +[0-9.]+ +[0-9]+%$", out, re.MULTILINE)
    assert re.search(r"^ +network +[0-9.]+ +[0-9.]+ +[0-9,]+ +[0-9.]+$", out, re.MULTILINE)
    assert "start" not in out


def test_choices(model: str, capsys: Run) -> None:
    common = ["bench", "--model", model, "--size", "96x64", "--runs", "2", "--no-startup", "--choices"]
    assert main([*common, "--json"]) == 0
    choices = json.loads(capsys.readouterr().out)["choices"]
    assert [choice["layer"] for choice in choices] == [0, 1, 2, 3, 4]
    assert choices[0]["chosen"] == "image"
    for choice in choices:
        assert {choice["chosen"], "popcount"} <= set(choice["milliseconds"])
        assert min(choice["milliseconds"].values()) > 0
        assert choice["loss"] == choice["milliseconds"][choice["chosen"]] - min(choice["milliseconds"].values())
    assert main(common) == 0
    lines = capsys.readouterr().out
    assert re.search(r"^    0  image +[0-9. ]+$", lines, re.MULTILINE)
    assert re.search(
        r"^ms; the best family of every layer together [0-9.]+, the chosen ones [0-9.]+% more$", lines, re.M
    )


def test_start_up(model: str, capsys: Run) -> None:
    assert main(["bench", "--model", model, "--size", "32", "--runs", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    start = report["start"]
    assert set(start) == {"first", "cold", "cached", "peak_memory"}
    assert min(start.values()) > 0
    if Path("/proc/self/status").exists():
        assert 1 << 24 < start["peak_memory"] < 1 << 30
    lines = "\n".join(bench._table(report))
    assert re.search(r"^start to first detection: [0-9.]+ s$", lines, re.MULTILINE)
    assert re.search(r"^the same with the kernels: [0-9.]+ s compiled, [0-9.]+ s loaded$", lines, re.MULTILINE)


def test_video(model: str, tmp_path: Path, capsys: Run) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 25, (64, 48)) as writer:
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    arguments = ["bench", "--model", model, "--runs", "1", "--no-startup", "--video"]
    assert main([*arguments, "clip.mp4"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^3 frames of 64x48, [0-9]+ detections$", out, re.MULTILINE)
    for part in ("decode", "letterbox", "network", "postprocess"):
        assert re.search(rf"^  {part} +[0-9.]+ ms +[0-9.]+%$", out, re.MULTILINE)
    assert re.search(r"^  [0-9.]+ frames/s; possible: [0-9.]+ frames/s, reached: [0-9]+%$", out, re.MULTILINE)
    assert main([*arguments, "no.mp4"]) == 2
    assert "no.mp4: cannot read the video" in capsys.readouterr().err


def test_bad_input_is_refused(model: str, capsys: Run) -> None:
    for arguments, problem in (
        (["--model", "no.ifq"], "no.ifq: cannot read the model"),
        (["--model", model, "--size", "100"], "not a multiple of the network's stride"),
        (["--cfg", "no.cfg"], "no.cfg: cannot read the cfg"),
    ):
        assert main(["bench", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert problem in captured.err
    for arguments in (["--size", "x"], ["--threads", "0"], ["--runs", "0"], ["--model", model, "--cfg", "small.cfg"]):
        with pytest.raises(SystemExit) as ended:
            main(["bench", *arguments])
        assert ended.value.code == 2
