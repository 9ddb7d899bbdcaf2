from __future__ import annotations

import math

import numpy as np

from tinier_yolo.eval.heights import ALL_HEIGHTS, in_range, label


def test_the_lower_end_belongs_to_a_range_and_the_upper_one_does_not() -> None:
    heights = np.array([15.9, 16, 31.9, 32])
    assert in_range(heights, (16, 32)).tolist() == [False, True, True, False]
    assert in_range(heights, ALL_HEIGHTS).all()


def test_labels() -> None:
    assert [label(heights) for heights in ((0, 16), (16, 32), (64, math.inf))] == ["under 16", "16-32", "over 64"]
