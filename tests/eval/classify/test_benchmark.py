from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_parameters
from tests.quantization.test_partial import alexnet
from tests.training.classifiers import CLASSES, write_colours
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights

RED = "[net]\nwidth=4\nheight=4\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[avgpool]\n[softmax]\n"


def write_red(folder: Path) -> list[str]:
    """A classifier that tells the colours of :func:`write_colours` apart."""
    (folder / "red.cfg").write_text(RED)
    network = Network.load(folder / "red.cfg")
    weights = np.array([[-40, 0, 40], [40, -60, -20], [0, 20, 0]], np.float32).reshape(3, 3, 1, 1)
    biases = np.array([0, 0, 0], np.float32)
    save_weights(folder / "red.weights", network, ({"weights": weights, "biases": biases}, {}, {}))
    return ["--model", str(folder / "red.weights"), "--cfg", str(folder / "red.cfg")]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_classifier_is_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = write_colours(tmp_path / "data", 4), write_red(tmp_path)
    (data / "test" / "red" / "0.png").rename(data / "test" / "bluish" / "moved.png")
    out = tmp_path / "out"
    assert main(["eval", "classify", "--data", str(data), *model, "--out", str(out), "--workers", "2"]) == 0
    assert capsys.readouterr().out.startswith("red: top-1 0.9167, top-3 1.0000 of 12 images\n")
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["top1"], summary["top3"], summary["images"], summary["classes"]) == (0.916667, 1.0, 12, 3)
    assert (summary["arithmetic"], summary["size"], summary["missing_images"]) == ("float32", [4, 4], [])
    classes = rows(out / "classes.csv")
    assert [row["class"] for row in classes] == list(CLASSES)
    assert [row["top1"] for row in classes] == ["0.800000", "1.000000", "1.000000"]
    assert [row["red"] for row in rows(out / "confusion.csv")] == ["1", "3", "0"]
    wrong = [row for row in rows(out / "images.csv") if row["rank"] != "0"]
    assert [(Path(row["image"]).name, row["class"], row["found"]) for row in wrong] == [("moved.png", "bluish", "red")]


def test_bad_images_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = write_colours(tmp_path / "data", 2), write_red(tmp_path)
    (data / "test" / "red" / "0.png").write_text("not an image")
    assert main(["eval", "classify", "--data", str(data), *model, "--out", str(tmp_path / "out")]) == 1
    assert "1 images cannot be read" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["images"] == 5


def test_integers_are_compared_with_the_float_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_colours(tmp_path / "data", 2, (12, 12))
    (tmp_path / "a.cfg").write_text(alexnet().replace("output=5", "output=3"))
    network = Network.load(tmp_path / "a.cfg")
    save_weights(tmp_path / "a.weights", network, random_parameters(network, np.random.default_rng(0)))
    model = ["--model", str(tmp_path / "a.weights"), "--cfg", str(tmp_path / "a.cfg")]
    command = ["eval", "classify", "--data", str(data), *model, "--out", str(tmp_path / "out"), "--compare-float"]
    assert main(command) == 0
    assert "images of which the float network gives other logits: 0" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["logits_unlike_float"] == 0
    assert summary["arithmetic"].startswith("integers in substructures 2 to 3 of 4")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--workers", "0"], "bad number of workers"),
        (["--compare-float"], "no float network beside this model"),
        (["--names", "none.names"], "none.names"),
    ],
)
def test_bad_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    data, model = write_colours(tmp_path / "data", 1), write_red(tmp_path)
    assert main(["eval", "classify", "--data", str(data), *model, "--out", str(tmp_path / "out"), *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_data_without_images_or_with_other_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = write_colours(tmp_path / "data", 1), write_red(tmp_path)
    (tmp_path / "a.data").write_text("labels=a.names\n")
    (tmp_path / "a.names").write_text("cat\ndog\n")
    command = ["eval", "classify", *model, "--out", str(tmp_path / "out"), "--data"]
    assert main([*command, str(tmp_path / "a.data")]) == 2
    assert "no valid list" in capsys.readouterr().err
    (tmp_path / "a.data").write_text("labels=a.names\nvalid=data/test/red\n")
    assert main([*command, str(tmp_path / "a.data")]) == 2
    assert "no images in the folders" in capsys.readouterr().err
    assert main([*command, str(data / "none")]) == 2
