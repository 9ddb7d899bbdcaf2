from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.eval.labelled.protocol import HEIGHTS, ImageResult, precision_recall, rate_above, roc_curve
from tinier_yolo.eval.matching import FALSE_ALARM, IGNORED, Matches


def result(name: str, faces: list[float], rows: list[tuple[float, int, float]], scale: float = 1.0) -> ImageResult:
    """Heights of faces; rows: score, what was found, the detection's own height in pixels of the image."""
    boxes = np.array([[0, 0, 1, height] for _, _, height in rows], float).reshape(-1, 4)
    found = np.array([face for _, face, _ in rows], np.intp)
    matches = Matches(boxes, np.array([score for score, _, _ in rows]), found, (found >= 0) * 0.75)
    return ImageResult(name, matches, np.array(faces, float), scale)


RESULTS = [
    result("a", [10, 20], [(0.9, 1, 15), (0.8, FALSE_ALARM, 5), (0.3, 0, 9)]),
    result("b", [100], [(0.95, FALSE_ALARM, 30), (0.9, IGNORED, 50)], scale=2.0),
]


def test_ignored_detections_are_neither_right_nor_wrong() -> None:
    roc = roc_curve(RESULTS, faces=4, images=20)
    assert roc.scores.tolist() == [0.95, 0.9, 0.8, 0.3]
    assert roc.true_positives.tolist() == [0, 1, 1, 2]
    assert roc.false_positives.tolist() == [1, 1, 2, 2]
    assert roc.rate_at() == 0.5
    assert roc.similarity[-1] == 1.5


def test_ap_of_all_faces() -> None:
    # Found 0 of 1, 1 of 2, 1 of 3, 2 of 4: of three faces two at precision 1/2.
    assert precision_recall(RESULTS).average_precision == pytest.approx(1 / 3)
    # An image that could not be read has faces too.
    assert precision_recall(RESULTS, faces=6).average_precision == pytest.approx(1 / 6)


def test_ap_by_height_counts_what_belongs_there() -> None:
    curves = {heights: precision_recall(RESULTS, heights) for heights in HEIGHTS}
    assert [curve.faces for curve in curves.values()] == [1, 1, 0, 1]
    # Under 16: the false alarm of height 5, then the face of height 10.
    assert curves[HEIGHTS[0]].average_precision == 0.5
    # 16 to 32: the face alone, found by a box of 15; the false alarm of 30 has 60 at network size.
    assert curves[HEIGHTS[1]].average_precision == 1
    assert curves[HEIGHTS[3]].average_precision == 0


def test_rates_by_height_at_a_threshold() -> None:
    assert [rate_above(RESULTS, heights, 0.5) for heights in HEIGHTS] == [0, 1, None, 0]
    assert [rate_above(RESULTS, heights, 0.1) for heights in HEIGHTS] == [1, 1, None, 0]
    assert rate_above(RESULTS, HEIGHTS[0], None) == 0


def test_bounds_of_heights_belong_to_the_upper_range() -> None:
    faces = [result("a", [15.999, 16, 32, 64, 1000], [])]
    assert [precision_recall(faces, heights).faces for heights in HEIGHTS] == [1, 1, 1, 2]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([FALSE_ALARM, IGNORED, 0])), max_size=3),
        min_size=1,
        max_size=4,
    ),
    st.randoms(),
)
def test_the_order_of_images_does_not_matter(images: list[list[tuple[float, int]]], random: object) -> None:
    results = [
        # A face is found once, and detections come highest score first.
        result(
            str(i),
            [40],
            sorted([(s, f if f < 0 else (0 if n == 0 else -1), 40) for n, (s, f) in enumerate(rows)], reverse=True),
        )
        for i, rows in enumerate(images)
    ]
    before = precision_recall(results)
    random.shuffle(results)  # type: ignore[attr-defined]
    after = precision_recall(results)
    assert before.precision.tolist() == after.precision.tolist()
    assert before.average_precision == after.average_precision
