"""``tinier-yolo quantize`` from files to files, and the programs that it makes in the other verbs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import fixed_point_detector, small_ifq
from tests.eval.classify.test_benchmark import write_red
from tests.red_detector import picture
from tests.training.classifiers import CLASSES, write_colours
from tinier_yolo.calibration import run as calibration
from tinier_yolo.cli import main
from tinier_yolo.detection.detector import Detector
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram

Run = pytest.CaptureFixture[str]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verb with its files, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return ["quantize", *fixed_point_detector.write_model(tmp_path), "--data", fixed_point_detector.write_set(tmp_path)]


def test_uniform_bits_and_the_other_verbs(base: list[str], capsys: Run) -> None:
    assert main([*base, "--method", "uniform", "--bits", "8", "-o", "red.ifq"]) == 0
    captured = capsys.readouterr()
    assert "rate on 3 calibration images: float 1.0000, quantized 1.0000 (+0.00% lost)" in captured.out
    assert "other images" not in captured.out
    assert "of all_8_bit: memory 10" in captured.out
    assert "float: rate 1.0000 on 3 images" in captured.err
    image = picture((128, 128), (32, 64, 64, 96))
    found, exact = (Detector.load(*files).detect(image) for files in (["red.ifq"], ["red.weights", "red.cfg"]))
    assert np.abs(found.boxes - exact.boxes).max() < 0.5
    assert len(found) == 1
    assert main(["summary", "red.ifq"]) == 0
    out = capsys.readouterr().out
    assert "formats of convolution 5: weights s8." in out
    assert "method uniform" in out
    assert main(["bench", "--model", "red.ifq", "--runs", "1", "--no-startup"]) == 0
    assert "multiply, pool" in capsys.readouterr().out
    assert main(["detect", "images/0.png", "--model", "red.ifq"]) == 0
    assert json.loads(capsys.readouterr().out)["detections"]
    assert main(["eval", "labelled", "--data", "set.data", "--model", "red.ifq", "--out", "eval"]) == 0
    assert json.loads(Path("eval/summary.json").read_text())["ap"] == 1.0


def test_a_float_network_that_finds_nothing_is_told_of(base: list[str], capsys: Run) -> None:
    for label in Path("labels").glob("*.txt"):
        label.write_text("")
    assert main([*base, "--method", "uniform", "-o", "red.ifq"]) == 2
    assert "the float network's rate is 0 on the calibration images" in capsys.readouterr().err
    assert not Path("red.ifq").exists()


def test_bad_images_show_before_the_work(base: list[str], capsys: Run) -> None:
    Path("images/2.png").write_bytes(b"not an image")
    for number in range(3):
        assert main([*base, "--method", "uniform", "--images", "2", "-o", f"{number}.ifq"]) == 2
        assert "uniform: " not in capsys.readouterr().err


def test_lin_with_a_report(base: list[str], capsys: Run) -> None:
    assert main([*base, "--method", "lin", "--kappa", "measure", "--report", "out", "-o", "red.ifq"]) == 0
    report = json.loads(Path("out/quantize.json").read_text())
    assert report["metric_quantized"] >= 0.99
    assert 3 < report["kappa"] < 12
    assert {point["method"] for point in report["points"]} == {"uniform", "lin"}
    assert len(report["formats"]) == len(report["layers"]) == 6
    for name in ("layers.csv", "points.csv", "sqnr.png", "curve.png"):
        assert Path("out", name).stat().st_size > 100
    program = FixedPointProgram.load("red.ifq")
    assert [layer.formats.biases.bits for layer in program.layers] == [16] * 6


def test_a_search_that_is_interrupted_goes_on(base: list[str], capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [*base, "--method", "goyal", "--metric", "ap", "--images", "1", "-o"]
    assert main([*options, "whole.ifq"]) == 0
    whole = capsys.readouterr().out
    measure, calls = calibration.Trials.measure, 0

    def interrupted(self: calibration.Trials, bits: object) -> float:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        return measure(self, bits)  # type: ignore[arg-type]

    monkeypatch.setattr(calibration.Trials, "measure", interrupted)
    assert main([*options, "again.ifq"]) == 130
    found = Path("again.ifq.search.json").read_bytes()
    assert main([*base, "--method", "uniform", "--images", "1", "-o", "again.ifq"]) == 0
    assert Path("again.ifq.search.json").read_bytes() == found
    capsys.readouterr()
    assert main([*options, "again.ifq"]) == 0
    captured = capsys.readouterr()
    assert "going on after" in captured.err
    assert not Path("again.ifq.search.json").exists()
    assert Path("again.ifq").read_bytes() == Path("whole.ifq").read_bytes()
    said = [text.replace("again", "whole").splitlines() for text in (captured.out, whole)]
    assert [line for line in said[0] if " trials, " not in line] == [
        line for line in said[1] if " trials, " not in line
    ]
    memory = whole.partition("of all_8_bit: memory ")[2].partition("%")[0]
    assert float(memory) < 90


def test_the_report_of_a_search_has_the_costs_over_the_budget(base: list[str], capsys: Run) -> None:
    options = ["--method", "goyal", "--metric", "ap", "--images", "2", "--budget", "0.02", "--report", "out"]
    assert main([*base, *options, "-o", "red.ifq"]) == 0
    report = json.loads(Path("out/quantize.json").read_text())
    assert [row["budget"] for row in report["budgets"]] == [0.01, 0.02, 0.04, 0.06]
    assert report["rounding"] == "compensated"
    memory = [row["memory"] + row["multiplications"] for row in report["budgets"]]
    assert memory[1:] == sorted(memory[1:], reverse=True)
    assert all(row["metric"] >= report["metric_float"] * (1 - row["budget"]) for row in report["budgets"])
    assert report["memory_of_all_8_bit"] == report["budgets"][1]["memory"]
    assert report["held_out"]["images"] == 1
    assert report["held_out"]["metric_float"] == 1.0
    for name in ("budgets.csv", "budgets.png", "layers.csv", "sqnr.png"):
        assert Path("out", name).stat().st_size > 100
    out = capsys.readouterr().out
    assert "multiplications\n" in out
    assert "ap on 1 other images, which have chosen nothing: float 1.0000, quantized" in out
    assert not Path("red.ifq.search.json").exists()


def test_compensated_rounding_is_a_choice_of_any_method(base: list[str]) -> None:
    for name, options in (("nearest", []), ("compensated", ["--rounding", "compensated"])):
        assert main([*base, "--method", "uniform", "--bits", "3", *options, "-o", f"{name}.ifq"]) == 0
    first, second = (FixedPointProgram.load(f"{name}.ifq") for name in ("nearest", "compensated"))
    assert any(not np.array_equal(a.weights, b.weights) for a, b in zip(first.layers, second.layers, strict=True))


@pytest.mark.parametrize("method", ["uniform", "lin", "goyal"])
def test_a_classifier_and_the_other_verbs(
    method: str, tmp_path: Path, capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, weights, _, cfg = write_red(tmp_path)
    write_colours(tmp_path / "data", 4)
    files = ["quantize", cfg, weights, "--data", "data"]
    options = ["--method", method, "--budget", "0.1", "--report", "out"]
    assert main([*files, "--metric", "top1", "--images", "6", *options, "-o", "colour.ifq"]) == 0
    assert "top1 on 6 calibration images: float 1.0000, quantized" in capsys.readouterr().out
    report = json.loads(Path("out/quantize.json").read_text())
    assert report["metric_quantized"] >= 0.9
    assert report["held_out"]["images"] == 6
    metric = (report["metric_quantized"] + report["held_out"]["metric_quantized"]) / 2
    assert FixedPointProgram.load("colour.ifq").class_names == CLASSES
    assert main(["eval", "classify", "--data", "data", "--model", "colour.ifq", "--out", "eval"]) == 0
    summary = json.loads(Path("eval/summary.json").read_text())
    assert summary["top1"] == pytest.approx(metric, abs=1e-6)
    assert summary["arithmetic"] == "integers"
    assert main([*files, *options, "-o", "colour.ifq"]) == 2
    assert "--metric rate is one of detectors" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--method", "uniform", "--bits", "1"], "bad number of bits (expected 2..16, found 1)"),
        (["--method", "uniform", "--bits", "17"], "bad number of bits (expected 2..16, found 17)"),
        (["--method", "goyal", "--bits", "8"], "the search finds the bits itself"),
        (["--method", "lin", "--kappa", "-1"], "bad kappa"),
        (["--method", "lin", "--kappa", "nan"], "bad kappa"),
        (["--method", "uniform", "--budget", "1"], "bad budget"),
        (["--method", "uniform", "--metric", "top9"], "no such metric (expected rate or ap or top1, found top9)"),
        (["--method", "uniform", "--size", "100"], "not a multiple of the network's stride"),
    ],
)
def test_bad_options(base: list[str], options: list[str], problem: str, capsys: Run) -> None:
    assert main([*base, *options, "-o", "red.ifq"]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert len(error.splitlines()) == 1
    assert not Path("red.ifq").exists()


def test_bad_files(base: list[str], capsys: Run, tmp_path: Path) -> None:
    small_ifq.write_model(tmp_path)
    binary = ["quantize", "small.cfg", "small.weights", *base[3:]]
    Path("empty.data").write_text("classes = 1\nvalid = empty.txt\n")
    Path("empty.txt").write_text("")
    Path("red.ifq.search.json").write_text('{"fingerprint": "another", "state": {}}')
    for arguments, problem in (
        ([*binary, "--method", "uniform"], "small.cfg: line 6, [convolutional]: a binary layer"),
        ([*base[:3], "--data", "empty.data", "--method", "uniform"], "an image list without images"),
        ([*base, "--method", "goyal"], "red.ifq.search.json: the search of another network, or with other options"),
    ):
        assert main([*arguments, "-o", "red.ifq"]) == 2
        assert problem in capsys.readouterr().err.splitlines()[-1]
    assert main([*base, "--method", "uniform", "-o", "red.weights"]) == 2
    assert "a name that ends in .ifq" in capsys.readouterr().err
    Path("red.ifq.search.json").write_text("[]")
    assert main([*base, "--method", "goyal", "-o", "red.ifq"]) == 2
    assert "not the state of a search" in capsys.readouterr().err
