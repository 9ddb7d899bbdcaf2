from __future__ import annotations

import math

import numpy as np
import pytest

from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.quantization.post_training.optimal_step import optimal_sqnr, optimal_step
from tinier_yolo.quantization.post_training.sqnr import format_sqnr, measured_sqnr, output_sqnr


def test_the_ratio_of_powers() -> None:
    assert measured_sqnr([3.0, 4.0], [3.0, 3.5]) == pytest.approx(20.0)
    assert measured_sqnr([3.0, 4.0], [3.0, 4.0]) == math.inf
    assert measured_sqnr([0.0], [1.0]) == -math.inf


def test_a_gaussian_in_a_format_of_almost_the_optimal_step() -> None:
    # The format has a level at zero and one more below than above; at 8 bits that hardly matters.
    values = np.random.default_rng(0).normal(0, 2.0**-5 / optimal_step(8), 200_000)
    assert format_sqnr(values, NumberFormat(8, 5)) == pytest.approx(optimal_sqnr(8), abs=0.15)


def test_noise_adds_up() -> None:
    assert output_sqnr([20.0, 20.0]) == pytest.approx(20 - 10 * math.log10(2))
    assert output_sqnr([20.0, math.inf]) == pytest.approx(20)
    assert output_sqnr([]) == math.inf
