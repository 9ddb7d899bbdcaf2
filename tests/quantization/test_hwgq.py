"""The quantisers against fixed-point.md's figures, numerical minimisation and their own definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.darknet.layers import QUANTIZERS
from tinier_yolo.quantization.hwgq import Quantizer, binarize, quantizer_for


@pytest.mark.parametrize(
    ("kind", "bits", "step"),
    [
        ("half-wave", 1, 0.79788),
        ("half-wave", 2, 0.53881),
        ("half-wave", 3, 0.32173),
        ("half-wave", 4, 0.18424),
        ("uniform", 1, 1.22401),
        ("uniform", 2, 0.65077),
        ("uniform", 3, 0.35341),
        ("uniform", 4, 0.19325),
    ],
)
def test_step_is_the_published_optimum(kind: str, bits: int, step: float) -> None:
    assert quantizer_for(bits, kind).step == pytest.approx(step, abs=5e-6)


def test_half_wave_of_one_bit_is_the_mean_of_the_half_normal() -> None:
    assert quantizer_for(1, "half-wave").step == pytest.approx(math.sqrt(2 / math.pi), rel=1e-14)


@pytest.mark.parametrize("kind", QUANTIZERS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_no_other_step_has_a_smaller_error(kind: str, bits: int) -> None:
    quantizer = quantizer_for(bits, kind)
    x = (np.arange(200_000) + 0.5) * (8 / 200_000)
    density = np.exp(-x * x / 2)

    def error(step: float) -> float:
        thresholds = [t / quantizer.step * step for t in quantizer.thresholds]
        levels = Quantizer(bits, kind, step, tuple(thresholds)).quantize(x)
        return float(((x - levels * step) ** 2 * density).sum())

    best = error(quantizer.step)
    assert all(error(step) >= best * (1 - 1e-9) for step in np.linspace(0.02, 3, 120))


@pytest.mark.parametrize("kind", QUANTIZERS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_comparison_is_strict_at_every_threshold(kind: str, bits: int) -> None:
    quantizer = quantizer_for(bits, kind)
    for i, threshold in enumerate(quantizer.thresholds):
        around = [np.nextafter(threshold, -9), threshold, np.nextafter(threshold, 9)]
        assert quantizer.quantize(around).tolist() == [i, i, i + 1]
    assert quantizer.quantize([-1e9, 1e9]).tolist() == [0, quantizer.highest]
    assert quantizer.levels == 2**bits == len(quantizer.thresholds) + 1


@given(st.lists(st.floats(-3, 3), min_size=1), st.sampled_from(QUANTIZERS), st.integers(1, 4))
def test_level_counts_the_thresholds_exceeded(values: list[float], kind: str, bits: int) -> None:
    quantizer = quantizer_for(bits, kind)
    expected = [sum(value > threshold for threshold in quantizer.thresholds) for value in values]
    assert quantizer.quantize(values).tolist() == expected


def test_unknown_quantizers_are_refused() -> None:
    for bits, kind in ((0, "uniform"), (9, "uniform"), (2, "relu")):
        with pytest.raises(ValueError, match="no half-wave Gaussian quantiser"):
            quantizer_for(bits, kind)


def test_binarize_takes_zero_as_plus_one_and_means_per_filter() -> None:
    signs, alpha = binarize(np.array([[[0.0, -0.0]], [[-3.0, 1.0]]], np.float32))
    assert signs.tolist() == [[[1, 1]], [[-1, 1]]]
    assert signs.dtype == np.int8
    assert alpha.tolist() == [0.0, 2.0]
