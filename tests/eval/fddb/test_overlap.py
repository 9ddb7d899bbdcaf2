from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.eval.fddb import naive_fddb
from tinier_yolo.eval.fddb.overlap import box_pixels, ellipse_mask, overlaps

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))
COORDINATES = st.one_of(st.floats(-40, 100), st.integers(-80, 200).map(lambda n: n / 2))
ELLIPSES = st.tuples(st.floats(0.1, 50), st.floats(0.1, 50), st.floats(-4, 4), st.floats(-60, 120), st.floats(-60, 120))
BOXES = st.tuples(COORDINATES, COORDINATES, st.floats(0, 90), st.floats(0, 90))


@settings(max_examples=300)
@given(ELLIPSES, SIZES)
def test_the_window_holds_the_pixels_of_the_whole_mask(ellipse: tuple[float, ...], size: tuple[int, int]) -> None:
    mask, (left, top) = ellipse_mask(np.array(ellipse), size)
    whole = np.zeros((size[1], size[0]), bool)
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    assert_array_equal(whole, naive_fddb.ellipse_mask(ellipse, size))


@settings(max_examples=200)
@given(st.lists(BOXES, min_size=1, max_size=4), st.lists(ELLIPSES, max_size=3), SIZES)
def test_overlap_is_a_ratio_of_pixel_counts(
    boxes: list[tuple[float, ...]], ellipses: list[tuple[float, ...]], size: tuple[int, int]
) -> None:
    found = overlaps(np.array(boxes), np.array(ellipses).reshape(-1, 5), size)
    expected = [[naive_fddb.iou(box, ellipse, size) for ellipse in ellipses] for box in boxes]
    assert_array_equal(found, np.array(expected).reshape(len(boxes), len(ellipses)))


@settings(max_examples=200)
@given(st.lists(ELLIPSES, min_size=1, max_size=4), st.lists(ELLIPSES, max_size=3), SIZES)
def test_overlap_of_ellipses_is_a_ratio_of_pixel_counts(
    regions: list[tuple[float, ...]], ellipses: list[tuple[float, ...]], size: tuple[int, int]
) -> None:
    found = overlaps(np.array(regions), np.array(ellipses).reshape(-1, 5), size)
    expected = [[naive_fddb.iou(region, ellipse, size) for ellipse in ellipses] for region in regions]
    assert_array_equal(found, np.array(expected).reshape(len(regions), len(ellipses)))


def test_a_box_is_filled_from_pixel_to_pixel_both_included() -> None:
    boxes = np.array(
        [[1.4, 2.6, 3, 0], [-5, -5, 3, 3], [8, 8, 99, 99], [0.5, 1.5, 0, 0], [-1e300, -1e300, 2e300, 2e300]]
    )
    expected = [[1, 3, 5, 4], [0, 0, 0, 0], [8, 8, 10, 9], [0, 2, 1, 3], [0, 0, 10, 9]]
    assert_array_equal(box_pixels(boxes, (10, 9)), expected)


def test_no_pixels_no_overlap() -> None:
    outside = np.array([[3.0, 2.0, 0.0, -50.0, -50.0]])
    assert overlaps(np.array([[-9.0, -9, 2, 2]]), outside, (10, 10)).tolist() == [[0.0]]
    assert overlaps(np.empty((0, 4)), outside, (10, 10)).shape == (0, 1)
    assert overlaps(outside, outside, (10, 10)).tolist() == [[0.0]]
    assert overlaps(np.empty((0, 5)), outside, (10, 10)).shape == (0, 1)
