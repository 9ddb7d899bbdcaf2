"""Separated conversion of the last layer: Eq. 5, and overflow found before it happens."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.quantization.test_integrated import real
from tinier_yolo.errors import ConversionError
from tinier_yolo.quantization.separated import fixed_point_output


def test_it_is_the_floor_of_the_scaled_numbers() -> None:
    substructure = real(alpha=[0.05, 0.3], step=0.5388, bias=[1.5, -2.00001])
    multipliers, biases = fixed_point_output(0, substructure, 14, 1000)
    assert multipliers.tolist() == [math.floor(alpha * 0.5388 * 2**14) for alpha in (0.05, 0.3)]
    assert biases.tolist() == [math.floor(1.5 * 2**14), math.floor(-2.00001 * 2**14)]
    assert multipliers.dtype == biases.dtype == np.int32


def test_batch_norm_is_composed_before_rounding() -> None:
    substructure = real(alpha=0.5, bias=[1.0], mean=3.0, deviation=2.0, scale=-4.0, shift=0.25)
    multipliers, biases = fixed_point_output(0, substructure, 2, 10)
    assert (multipliers.tolist(), biases.tolist()) == ([-4], [17])


@pytest.mark.parametrize("bias", [0.0, 100.0, -100.0])
def test_overflow_is_found_at_the_edge(bias: float) -> None:
    scale = 2.0**10
    limit = (2**31 - 1 - round(abs(bias) * 2**14)) // 2**24
    fixed_point_output(3, real(scale=[1.0, scale], bias=bias / scale), 14, limit)
    with pytest.raises(
        ConversionError, match="layer 3, channel 1: the output does not fit int32 with 14 fraction bits"
    ):
        fixed_point_output(3, real(scale=[1.0, scale], bias=bias / scale), 14, limit + 1)


def test_numbers_that_do_not_fit_themselves_are_refused() -> None:
    for substructure in (real(scale=1e9), real(bias=1e9), real(bias=-1e9)):
        with pytest.raises(ConversionError, match="does not fit int32"):
            fixed_point_output(0, substructure, 14, 1)
