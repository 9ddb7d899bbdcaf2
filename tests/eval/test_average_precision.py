from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.eval.average_precision import PrecisionRecall, counts_at_scores


def naive_area(recall: list[float], precision: list[float]) -> float:
    """VOC 2010+ by its definition: each step of recall times the highest precision at that recall or beyond."""
    total = 0.0
    for previous, level in zip([0.0, *sorted(set(recall))], sorted(set(recall)), strict=False):
        total += (level - previous) * max(p for r, p in zip(recall, precision, strict=True) if r >= level)
    return total


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 5))
def test_area_equals_its_definition(hits: list[bool], missed: int) -> None:
    found, kept = np.cumsum(hits), np.arange(1, len(hits) + 1)
    faces = sum(hits) + missed
    curve = PrecisionRecall.of_counts(found, kept, -kept.astype(float), faces)
    expected = naive_area((found / max(faces, 1)).tolist(), (found / kept).tolist())
    assert curve.average_precision == pytest.approx(expected, abs=1e-12)


def test_known_areas() -> None:
    kept = np.array([1, 2, 3, 4])
    scores = np.array([0.4, 0.3, 0.2, 0.1])
    assert PrecisionRecall.of_counts(np.array([1, 2, 3, 4]), kept, scores, 4).average_precision == 1
    assert PrecisionRecall.of_counts(np.array([0, 0, 0, 0]), kept, scores, 4).average_precision == 0
    # Right, wrong, right, wrong of 4 faces: 1/4 at precision 1, 1/4 at 2/3.
    assert PrecisionRecall.of_counts(np.array([1, 1, 2, 2]), kept, scores, 4).average_precision == 0.25 + 0.25 * 2 / 3


def test_nothing_kept_and_nothing_to_find() -> None:
    curve = PrecisionRecall.of_counts(np.array([0, 1]), np.array([0, 1]), np.array([0.9, 0.8]), 1)
    assert curve.precision.tolist() == [0, 1]
    assert curve.average_precision == 1
    assert PrecisionRecall.of_counts(np.array([0]), np.array([2]), np.array([0.5]), 0).average_precision == 0
    empty = np.empty(0, np.int64)
    assert PrecisionRecall.of_counts(empty, empty, np.empty(0), 3).average_precision == 0


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 1), st.integers(0, 3)), max_size=10),
    st.lists(st.floats(-0.5, 1.5), max_size=5),
)
def test_counts_at_scores(rows: list[tuple[float, int, int]], thresholds: list[float]) -> None:
    table = np.array(rows).reshape(-1, 3)
    counts = counts_at_scores(table[:, 0], table[:, 1:].astype(np.int64), np.array(thresholds))
    for threshold, (first, second) in zip(thresholds, counts.tolist(), strict=True):
        assert first == sum(row[1] for row in rows if row[0] >= threshold)
        assert second == sum(row[2] for row in rows if row[0] >= threshold)
