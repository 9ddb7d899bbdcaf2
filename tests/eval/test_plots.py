from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tinier_yolo.errors import OutputError
from tinier_yolo.eval.plots import Line, plot_precision_recall, plot_roc
from tinier_yolo.media.images import read_image

BLUE, VERMILLION = (0, 114, 178), (213, 94, 0)


def pixels(path: Path, color: tuple[int, int, int]) -> int:
    return int((np.abs(read_image(path).astype(int) - color).max(axis=2) < 20).sum())


def test_roc_draws_every_line_in_its_colour(tmp_path: Path) -> None:
    lines = [Line("ours", [0, 3, 5], [0.2, 0.5, 0.6]), Line("theirs", [1, 30], [0.3, 0.4])]
    plot_roc(tmp_path / "one.png", lines[:1], budget=3, limit=20, title="one")
    plot_roc(tmp_path / "two.png", lines, budget=3, limit=20, title="two")
    assert pixels(tmp_path / "one.png", BLUE) > 200
    assert pixels(tmp_path / "one.png", VERMILLION) == 0
    assert pixels(tmp_path / "two.png", VERMILLION) > 200


def test_empty_curves_and_many_lines(tmp_path: Path) -> None:
    lines = [Line(f"line {n}", [], []) for n in range(9)]
    plot_roc(tmp_path / "roc.png", lines, budget=0, limit=10, title="none")
    plot_precision_recall(tmp_path / "pr.png", lines, title="none")
    assert read_image(tmp_path / "pr.png").shape == read_image(tmp_path / "roc.png").shape


def test_no_display_and_no_global_state(tmp_path: Path) -> None:
    plot_precision_recall(tmp_path / "pr.png", [Line("a", [0.1, 0.9], [1, 0.5])], title="t")
    assert "matplotlib.pyplot" not in sys.modules
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        plot_precision_recall(tmp_path / "file" / "pr.png", [Line("a", [], [])], title="t")
