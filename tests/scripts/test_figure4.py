"""The sweeps of figure 4 on a small detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts import figure4
from scripts.figure4 import Subject, main
from tests import fixed_point_detector, small_ifq
from tests.networks import random_parameters
from tests.quantization.test_partial import alexnet
from tests.training.classifiers import write_colours
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights

Run = pytest.CaptureFixture[str]


def test_both_sweeps(tmp_path: Path, capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure4, "LAST_SWEEP", (8, 14))
    monkeypatch.setattr(figure4, "FIRST_SWEEP", (5, 12))
    data = fixed_point_detector.write_set(tmp_path, 2)
    _, weights, cfg = small_ifq.write_model(tmp_path)
    assert main([str(cfg), str(weights), "--data", data, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("| substructure | m | ap |\n|---|---|---|\n| last | 8 | ")
    points = json.loads((tmp_path / "out" / "figure4.json").read_text())["points"]
    swept = [(point["swept"], point["m"]) for point in points]
    assert swept == [("last", 8), ("last", 14), ("first", 5), ("first", 12)]
    assert (tmp_path / "out" / "figure4.png").stat().st_size > 100


def test_the_swept_substructure_is_the_one_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = fixed_point_detector.write_set(tmp_path, 1)
    _, weights, cfg = small_ifq.write_model(tmp_path)
    subject = Subject.load(str(cfg), str(weights), data, 1, "ap")
    seen: list[np.ndarray] = []
    images = subject.images
    object.__setattr__(images, "metric", lambda outputs, m: seen.append(np.ldexp(outputs[0], -m)) or 0.5)
    subject.measure_float()
    for fraction_bits, separated_m in ((14, None), (4, None), (14, {0: 5})):
        assert subject.measure(fraction_bits, separated_m) == 0.5
    exact, fine, coarse, first = seen
    errors = [float(np.abs(own - exact).max()) for own in (fine, coarse, first)]
    assert errors[0] < 0.02 < errors[1]
    assert errors[2] > errors[0]


def test_float_substructures_at_both_ends(tmp_path: Path) -> None:
    data = write_colours(tmp_path / "data", 6, (12, 12))
    (tmp_path / "partial.cfg").write_text(alexnet().replace("output=5", "output=3"))
    network = Network.load(tmp_path / "partial.cfg")
    save_weights(tmp_path / "partial.weights", network, random_parameters(network, np.random.default_rng(1)))
    subject = Subject.load(str(tmp_path / "partial.cfg"), str(tmp_path / "partial.weights"), str(data), 18, "top1")
    seen: list[np.ndarray] = []
    object.__setattr__(subject.images, "metric", lambda outputs, _: seen.append(np.array(outputs)) or 0.5)
    subject.measure_float()
    for fraction_bits, separated_m in ((14, None), (4, None), (14, {0: 5}), (30, {0: 30})):
        assert subject.measure(fraction_bits, separated_m) == 0.5
    exact, fine, coarse, first, finest = seen
    assert np.abs(fine - exact).max() < 0.1 < np.abs(coarse - exact).max()
    assert not np.array_equal(first, fine)
    assert np.abs(finest - exact).max() < 1e-6
    assert subject.different() == 0


def test_bad_files_are_one_line(tmp_path: Path, capsys: Run) -> None:
    assert main(["missing.cfg", "a.weights", "--data", "a.data"]) == 2
    assert capsys.readouterr().err.startswith("figure4: missing.cfg: cannot read the cfg")
