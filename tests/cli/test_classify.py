from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.eval.classify.test_benchmark import write_red
from tests.networks import random_parameters
from tests.quantization.test_partial import alexnet
from tests.training.classifiers import write_colours
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The model's options; a bluish and a red image stand in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_colours(tmp_path, 1)
    (tmp_path / "a.names").write_text("bluish\nred\nreddish\n")
    Path("b.png").write_bytes(Path("test/bluish/0.png").read_bytes())
    Path("r.png").write_bytes(Path("test/red/0.png").read_bytes())
    _, model, *cfg = write_red(tmp_path)
    return [model, *cfg, "--names", "a.names"]


def test_a_line_for_each_image(images: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model, *options = images
    assert main(["classify", model, "b.png", "r.png", "--top", "2", *options]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("b.png: bluish 1.0000, ")
    assert second.startswith("r.png: red 1.0000, ")
    assert first.count(",") == 1


def test_json(images: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model, *options = images
    assert main(["classify", model, "r.png", "--format", "json", *options]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["source"] == "r.png"
    assert entry["classes"][0]["class"] == "red"
    assert sum(one["score"] for one in entry["classes"]) == pytest.approx(1, abs=1e-5)
    assert len(entry["classes"]) == 3


def test_images_that_cannot_be_read(images: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model, *options = images
    Path("bad.png").write_text("not an image")
    assert main(["classify", model, "r.png", "bad.png", *options]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert "bad.png: not an image that OpenCV reads" in captured.err
    assert main(["classify", model, "bad.png", "gone.png", *options]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_detector_is_refused(images: list[str], root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(root / "weights" / "ifq-tinier-yolo-face.ifq")
    assert main(["classify", model, "r.png"]) == 2
    assert "not a classifier (expected [softmax] or [cost] last, found [region])" in capsys.readouterr().err
    assert main(["classify", images[0], "r.png"]) == 2
    assert "weights without their cfg" in capsys.readouterr().err


def test_a_binary_classifier_becomes_a_program(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.cfg").write_text(alexnet(first=1, last=1))
    network = Network.load(tmp_path / "b.cfg")
    save_weights(tmp_path / "b.weights", network, random_parameters(network, np.random.default_rng(0)))
    assert main(["convert", "b.cfg", "b.weights", "-o", "b.ifq"]) == 0
    assert main(["classify", "b.weights", "r.png", "--cfg", "b.cfg", "--top", "1"]) == 0
    capsys.readouterr()
    assert main(["classify", "b.ifq", "r.png", "--top", "8"]) == 0
    assert capsys.readouterr().out.count("class ") == 8
