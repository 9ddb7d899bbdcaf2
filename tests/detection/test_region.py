from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import naive
from tinier_yolo.darknet.layers import Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.region import MAX_LOG_SIZE, decode, integer_threshold


def region(classes: int = 1, softmax: bool = True, anchors: str = "0.6,0.8, 1.3,1.75, 4.2,5.6") -> Region:
    num = len(anchors.split(",")) // 2
    text = (
        f"[net]\nwidth=96\nheight=64\nchannels=3\n[maxpool]\nsize=16\nstride=16\n[maxpool]\nsize=2\nstride=2\n"
        f"[convolutional]\nfilters={num * (5 + classes)}\nsize=1\nstride=1\nactivation=linear\n"
        f"[region]\nanchors={anchors}\nclasses={classes}\nnum={num}\nsoftmax={int(softmax)}\n"
    )
    return Network.parse(text).region


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.booleans(), st.sampled_from([0.05, 0.25, 0.5, 0.8]))
def test_decode_equals_the_naive_one(seed: int, classes: int, softmax: bool, thresh: float) -> None:
    layer = region(classes, softmax)
    values = np.random.default_rng(seed).normal(0, 2, (3 * (5 + classes), 2, 3)).astype(np.float32)
    found = decode(values, layer, 32, thresh)
    expected = naive.region_decode(values.tolist(), layer.anchors, classes, softmax, 32, thresh)
    assert len(found) == len(expected)
    for (box, score, class_id), wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(box, wanted[:4], rtol=1e-5, atol=1e-3)
        assert score == pytest.approx(wanted[4], abs=1e-6)
        assert class_id == wanted[5]


@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.6, 0.999, 1.0]))
def test_an_integer_map_decodes_as_the_floats_it_stands_for(seed: int, fraction_bits: int, thresh: float) -> None:
    layer = region()
    floats = np.random.default_rng(seed).normal(0, 2, (18, 2, 3))
    integers = np.floor(floats * 2.0**fraction_bits).astype(np.int32)
    found = decode(integers, layer, 32, thresh, fraction_bits)
    expected = decode(np.ldexp(integers.astype(np.float64), -fraction_bits), layer, 32, thresh)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)


@given(st.floats(0, 1), st.integers(0, 16))
def test_the_integer_threshold_is_the_comparison_of_floats(thresh: float, fraction_bits: int) -> None:
    threshold = integer_threshold(thresh, fraction_bits)
    logit = -math.inf if thresh == 0 else math.inf if thresh == 1 else math.log(thresh) - math.log1p(-thresh)
    for t in range(threshold - 3, threshold + 4):
        if -(2**31) <= t < 2**31:
            assert (t >= threshold) == (math.ldexp(t, -fraction_bits) >= logit)


@pytest.mark.parametrize("fraction_bits", [0, 9, 14])
@pytest.mark.parametrize("thresh", [0.01, 0.1, 0.25, 0.3, 0.5, 0.77, 0.99])
def test_the_integer_threshold_is_that_of_the_exact_sigmoid(thresh: float, fraction_bits: int) -> None:
    # sigmoid(x) >= p  <=>  1 - p >= p * exp(-x), with exp(-x) by its series in exact fractions
    threshold = integer_threshold(thresh, fraction_bits)
    p = Fraction(thresh)
    for t in range(threshold - 2, threshold + 2):
        x = Fraction(t, 2**fraction_bits)
        decay = 1 / _exp(x) if x >= 0 else _exp(-x)
        assert (t >= threshold) == (1 - p >= p * decay)


def _exp(x: Fraction) -> Fraction:
    term = total = Fraction(1)
    for n in range(1, 60):
        term = term * x / n
        total += term
    return total


@pytest.mark.parametrize(("thresh", "count"), [(0.0, 18), (1.0, 0)])
def test_thresholds_at_the_ends(thresh: float, count: int) -> None:
    extremes = np.array([-(2**31), 2**31 - 1, 0, 1, -1, 7], np.int32)
    integers = np.tile(extremes.reshape(1, 2, 3), (18, 1, 1))
    assert len(decode(integers, region(), 32, thresh, 14)) == count
    assert len(decode(integers.astype(np.float32), region(), 32, thresh)) == count


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_without_a_cell_the_detections_are_empty(dtype: type[np.generic]) -> None:
    found = decode(np.full((18, 2, 3), -9, dtype), region(), 32, 0.5)
    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int32)


def test_an_objectness_at_the_threshold_is_kept_and_one_below_is_not() -> None:
    layer = region(anchors="1,1")
    for thresh in np.linspace(0.01, 0.99, 99).tolist():
        integers = np.zeros((6, 2, 3), np.int32)
        integers[4] = integer_threshold(thresh, 14)
        assert len(decode(integers, layer, 32, thresh, 14)) == 6
        assert len(decode(integers - 1, layer, 32, thresh, 14)) == 0


def test_the_rounding_of_a_sigmoid_does_not_undo_the_comparison() -> None:
    logits = {p: math.log(p) - math.log1p(-p) for p in np.linspace(0.01, 0.99, 999).tolist()}
    unlucky = [p for p, logit in logits.items() if naive.logistic(logit) < p]
    assert unlucky
    for thresh in unlucky:
        values = np.zeros((6, 2, 3))
        values[4] = logits[thresh]
        assert len(decode(values, region(anchors="1,1"), 32, thresh)) == 6


def test_channels_are_x_y_w_h_objectness_class_for_each_anchor() -> None:
    layer = region(anchors="1,2, 3,4")
    values = np.full((12, 2, 3), -50, np.float32)
    # second anchor, row 1, column 2
    values[6:, 1, 2] = 0, math.log(3), math.log(2), 0, 50, 0
    found = decode(values, layer, 32, 0.5)
    # centre (2.5, 1.75), size (6, 4) cells
    np.testing.assert_allclose(found.boxes, [[-16, -8, 176, 120]], rtol=1e-6)
    assert found.scores.tolist() == [1.0]


def test_one_class_with_softmax_has_probability_one() -> None:
    values = np.zeros((18, 2, 3), np.float32)
    values[5::6] = -30
    np.testing.assert_array_equal(decode(values, region(softmax=True), 32, 0.1).scores, np.float32(0.5))
    assert len(decode(values, region(softmax=False), 32, 0.1)) == 0


@pytest.mark.parametrize("value", [2.0**31 - 1, 3e38])
def test_huge_values_give_finite_boxes(value: float) -> None:
    for sign in (1, -1):
        values = np.full((18, 2, 3), np.float32(sign * value))
        values[4::6] = 10
        found = decode(values, region(), 32, 0.5)
        assert len(found) == 18
        assert np.isfinite(found.boxes).all()
    assert 5.6 * math.exp(MAX_LOG_SIZE) > 16_384
