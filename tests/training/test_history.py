from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tinier_yolo.errors import DataError
from tinier_yolo.training.history import History, draw_curves
from tinier_yolo.training.measure import TRAINING_COLUMNS, VALIDATION_COLUMNS


def row(iteration: int, columns: tuple[str, ...]) -> dict[str, float]:
    return {name: iteration if name == "iteration" else 1 / (1 + iteration) for name in columns}


def test_rows_after_the_start_and_broken_ones_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    history = History(path, ("iteration", "loss"), 0)
    for iteration in (10, 20, 30):
        history.append({"iteration": iteration, "loss": 0.1})
    with path.open("a") as file:
        file.write("40,")  # a kill in the middle of a row
    again = History(path, ("iteration", "loss"), 20)
    assert again.column("iteration").tolist() == [10, 20]
    assert path.read_text() == "iteration,loss\n10,0.1\n20,0.1\n"
    assert History(path, ("iteration", "loss"), 0).rows == []


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe",
        b"\xff\xfe\n",
        b"30,0.",
        b"30,\0\n",
        b"\0" * 100,
        b"30,0.1\xff\n",
        b"x" * 200_000 + b",1\n",
        b'"30,1\n',
        b"\n30",
    ],
)
def test_what_is_no_row_is_dropped(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "h.csv"
    path.write_bytes(b"iteration,loss\n10,0.1\n20,0.1\n" + damage)
    assert History(path, ("iteration", "loss"), 100).column("iteration").tolist() == [10, 20]
    assert path.read_bytes() == b"iteration,loss\n10,0.1\n20,0.1\n"


def test_a_file_that_is_no_table_gives_no_rows(tmp_path: Path) -> None:
    for data in (b"", b"\xff\n10,1\n", b"iteration\n10\n", bytes(50)):
        (tmp_path / "h.csv").write_bytes(data)
        assert History(tmp_path / "h.csv", ("iteration", "loss"), 100).rows == []
    with pytest.raises(DataError, match="cannot read"):
        History(tmp_path, ("iteration", "loss"), 100)


def test_curves_are_a_picture(tmp_path: Path) -> None:
    training = History(tmp_path / "t.csv", TRAINING_COLUMNS, 0)
    validation = History(tmp_path / "v.csv", VALIDATION_COLUMNS, 0)
    draw_curves(training, validation, tmp_path / "empty.png")
    for iteration in range(20, 400, 20):
        training.append(row(iteration, TRAINING_COLUMNS))
    validation.append(row(200, VALIDATION_COLUMNS))
    training.append({**row(400, TRAINING_COLUMNS), "loss": float("nan")})  # a step that was passed over
    draw_curves(training, validation, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")).shape[0] > 500
