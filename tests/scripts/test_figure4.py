"""The sweeps of figure 4 on a small detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts import figure4
from scripts.figure4 import Subject, main
from tests import fixed_point_detector, small_ifq

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


def test_bad_files_are_one_line(tmp_path: Path, capsys: Run) -> None:
    assert main(["missing.cfg", "a.weights", "--data", "a.data"]) == 2
    assert capsys.readouterr().err.startswith("figure4: missing.cfg: cannot read the cfg")
