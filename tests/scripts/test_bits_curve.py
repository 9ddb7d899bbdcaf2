"""The curve of uniform and allocated bits on a small FDDB, and of a classifier."""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from scripts import bits_curve
from scripts.bits_curve import load_fddb_images, main
from tests import fixed_point_detector
from tests.eval.classify.test_benchmark import write_red
from tests.red_detector import picture
from tests.training.classifiers import write_colours
from tinier_yolo.darknet.network import Network
from tinier_yolo.eval.fddb.dataset import FddbSet
from tinier_yolo.media.images import write_image

Run = pytest.CaptureFixture[str]


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    """Annotations of three images with a red cell each, of which the last one's face is somewhere else."""
    lines = []
    for number in range(3):
        left = 32 * number
        write_image(tmp_path / "a" / f"{number}.jpg", picture((128, 128), (left, 32, left + 32, 64)))
        centre = (left + 16, 48) if number < 2 else (16, 112)
        lines.append(f"a/{number}\n1\n18 18 0 {centre[0]} {centre[1]} 1\n")
    folder = tmp_path / "folds"
    folder.mkdir()
    (folder / "FDDB-fold-01-ellipseList.txt").write_text("".join(lines))
    return folder


def test_the_metric_is_the_rate_of_the_protocol(folds: Path, tmp_path: Path) -> None:
    network = fixed_point_detector.network()
    images = load_fddb_images(network, FddbSet.load(folds), str(tmp_path), 10)
    assert len(images.pixels) == 3
    nothing = np.full((6, 4, 4), -20.0, np.float32)
    found = []
    for number in range(3):
        cell = nothing.copy()
        cell[:4, 1, number], cell[4, 1, number] = 0, 5 - number
        found.append(cell)
    # Two faces of three before the first false alarm, which 3 images do not allow.
    assert images.metric(found, 0) == pytest.approx(2 / 3)
    assert images.metric([nothing] * 3, 0) == 0
    assert images.metric([np.round(own * 16).astype(np.int32) for own in found], 4) == pytest.approx(2 / 3)


def test_it_writes_the_report(folds: Path, tmp_path: Path, capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits_curve, "BITS", range(4, 6))
    model, data = fixed_point_detector.write_model(tmp_path), fixed_point_detector.write_set(tmp_path, 2)
    options = ["--data", data, "--annotations", str(folds), "--images", str(tmp_path), "--kappa", "5"]
    assert main([*model, *options, "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "quantize.json").read_text())
    assert {point["method"] for point in report["points"]} == {"uniform", "lin"}
    assert report["metric"] == "FDDB rate"
    assert (tmp_path / "out" / "curve.png").stat().st_size > 100
    assert "float: " in capsys.readouterr().out
    assert main([*model, *options, "--list", "no.txt", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("bits_curve: no.txt: cannot read")


def test_a_classifier_is_measured_on_images_that_chose_no_formats(
    tmp_path: Path, capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bits_curve, "BITS", range(4, 6))
    _, weights, _, cfg = write_red(tmp_path)
    data = write_colours(tmp_path / "data", 2)
    network = Network.load(cfg)
    args = argparse.Namespace(data=data, count=3)
    chosen, measured = bits_curve.load_sets(network, args)
    assert [len(own.pixels) for own in (chosen, measured)] == [6, 3]
    pairs = itertools.product(chosen.pixels, measured.pixels)
    assert not any(np.array_equal(one, other) for one, other in pairs)
    options = ["--data", str(data), "--count", "6", "--kappa", "5", "--out", str(tmp_path / "out")]
    assert main([cfg, weights, *options]) == 0
    report = json.loads((tmp_path / "out" / "quantize.json").read_text())
    assert (report["metric"], report["images"], report["metric_float"]) == ("top1", 6, 1.0)
    assert "float: 1.0000 on 6 images" in capsys.readouterr().out
    model = fixed_point_detector.write_model(tmp_path)
    assert main([*model, *options]) == 2
    assert "bits_curve: a detector is measured on FDDB" in capsys.readouterr().err
