from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.errors import DataError
from tinier_yolo.eval.roc import Roc, last_of_each, merge_steps, read_roc, write_continuous, write_discrete

ROC = Roc(
    scores=np.array([0.9, 0.5, 0.25, 1e-7]),
    true_positives=np.array([1, 2, 2, 3]),
    false_positives=np.array([0, 0, 1, 4]),
    similarity=np.array([0.75, 1.5, 1.5, 2.125]),
    faces=4,
    images=30,
)


@pytest.mark.parametrize(("images", "budget"), [(2845, 284), (947, 94), (9, 0), (10, 1), (30, 3), (300, 30)])
def test_budget_is_a_tenth_rounded_down(images: int, budget: int) -> None:
    assert Roc(*[np.empty(0)] * 4, faces=0, images=images).budget == budget  # type: ignore[arg-type]


def test_rates_and_operating_point() -> None:
    assert ROC.rate.tolist() == [0.25, 0.5, 0.5, 0.75]
    assert ROC.operating_point() == 1  # of the two points with two faces the one with the higher score
    assert (ROC.rate_at(), ROC.rate_at(4), ROC.rate_at(0)) == (0.5, 0.75, 0.5)
    assert ROC.continuous_rate_at(4) == 2.125 / 4
    assert ROC.summary() == {
        "images": 30,
        "faces": 4,
        "false_positives": 3,
        "rate": 0.5,
        "threshold": 0.5,
        "end": {"rate": 0.75, "false_positives": 4},
    }


def test_nothing_found() -> None:
    roc = merge_steps([], [], faces=3, images=20)
    assert (roc.rate_at(), roc.continuous_rate_at(), roc.operating_point()) == (0.0, 0.0, None)
    assert roc.summary()["end"] == {"rate": 0.0, "false_positives": 0}


def test_a_curve_beyond_the_budget_has_no_operating_point() -> None:
    roc = merge_steps([np.array([0.5])], [np.array([[1.0, 4, 0.9]])], faces=1, images=30)
    assert (roc.operating_point(), roc.rate_at(), roc.rate_at(4)) == (None, 0.0, 1.0)


def test_files_have_the_official_form(tmp_path: Path) -> None:
    write_discrete(tmp_path / "DiscROC.txt", ROC)
    write_continuous(tmp_path / "ContROC.txt", ROC)
    assert (
        tmp_path / "DiscROC.txt"
    ).read_text() == "0.75 4 1e-07\n0.5 1 0.25\n0.5 0 0.5\n0.25 0 0.9\n0 0 1.79769e+308\n"
    assert (tmp_path / "ContROC.txt").read_text() == "0.53125 4\n0.375 1\n0.375 0\n0.1875 0\n0 0\n"
    counts, rates = read_roc(tmp_path / "DiscROC.txt")
    assert (counts.tolist(), rates.tolist()) == ([0, 0, 0, 1, 4], [0, 0.25, 0.5, 0.5, 0.75])
    assert read_roc(tmp_path / "ContROC.txt")[0].tolist() == [0, 0, 0, 1, 4]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "an empty ROC file"),
        ("0.5 1\nface 2\n", "line 2: not a line of a ROC file"),
        ("0.5\n", "line 1: not a line of a ROC file"),
        ("1.5 1\n", "line 1: not a line"),
        ("nan 1\n", "line 1: not a line"),
        ("0.5 -1\n", "line 1: not a line"),
        (
            "0.5 1 2 3\n",
            r"line 1: not a line of a ROC file \(expected rate false_positives \[score\], found 0.5 1 2 3\)",
        ),
    ],
)
def test_bad_files(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "roc.txt").write_text(text)
    with pytest.raises(DataError, match=told):
        read_roc(tmp_path / "roc.txt")


@given(
    st.lists(
        st.dictionaries(st.sampled_from([0.0, 0.5, 1.0, 7.0]), st.tuples(*[st.integers(-2, 3)] * 3), max_size=4),
        max_size=4,
    )
)
def test_merging_sums_what_each_image_has_at_a_score(images: list[dict[float, tuple[int, int, int]]]) -> None:
    scores = [np.array(sorted(image, reverse=True)) for image in images]
    steps = [np.array([image[s] for s in sorted(image, reverse=True)], float).reshape(-1, 3) for image in images]
    roc = merge_steps(scores, steps, faces=1, images=1)
    every = sorted({score for image in images for score in image}, reverse=True)
    assert roc.scores.tolist() == every
    for index, score in enumerate(every):
        total = [sum(image[s][column] for image in images for s in image if s >= score) for column in range(3)]
        assert [roc.true_positives[index], roc.false_positives[index], roc.similarity[index]] == total


def test_last_of_each_run() -> None:
    assert last_of_each(np.array([3.0, 3, 2, 1, 1])).tolist() == [1, 2, 4]
    assert last_of_each(np.empty(0)).tolist() == []
