"""Integrated conversion: thresholds that give the float levels, also where float64 rounds at the boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.darknet.layers import QUANTIZERS
from tinier_yolo.quantization.float64 import RealSubstructure
from tinier_yolo.quantization.hwgq import Quantizer, quantizer_for
from tinier_yolo.quantization.integrated import integer_thresholds
from tinier_yolo.quantization.proof import count_levels

LIMIT = 60


def real(**numbers: Any) -> RealSubstructure:
    """One filter for each element; what is not given changes nothing."""
    n = max(np.size(value) for value in numbers.values())
    arrays = {"alpha": 1, "bias": 0, "mean": 0, "deviation": 1, "scale": 1, "shift": 0} | numbers
    step = float(arrays.pop("step", 1.0))
    full = {name: np.broadcast_to(np.asarray(value, np.float64), (n,)) for name, value in arrays.items()}
    return RealSubstructure(signs=np.ones((n, 1, 1, 1), np.int8), step=step, **full)


def assert_lossless(substructure: RealSubstructure, quantizer: Quantizer, limit: int = LIMIT) -> None:
    thresholds, flips = integer_thresholds(substructure, quantizer, limit)
    accumulators = np.arange(-limit, limit + 1)
    expected = quantizer.quantize(substructure.values(accumulators[None].astype(np.float64)))
    np.testing.assert_array_equal(count_levels(accumulators, thresholds, flips), expected)
    assert (np.diff(thresholds, axis=1) >= 0).all()
    assert thresholds.min() >= -limit - 1
    assert thresholds.max() <= limit + 1


FLOATS = st.floats(-8, 8, width=32)


@given(
    st.lists(st.tuples(FLOATS, FLOATS, FLOATS, FLOATS, st.floats(0.003, 5)), min_size=1, max_size=6),
    st.sampled_from(QUANTIZERS),
    st.integers(1, 4),
)
def test_every_accumulator_gets_its_level(rows: list[tuple[float, ...]], kind: str, bits: int) -> None:
    scale, bias, mean, shift, deviation = (np.array(column) for column in zip(*rows, strict=True))
    substructure = real(scale=scale, bias=bias, mean=mean, shift=shift, deviation=deviation, alpha=0.21, step=1 / 255)
    assert_lossless(substructure, quantizer_for(bits, kind))
    assert_lossless(substructure, quantizer_for(bits, kind), 7)


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_that_fall_on_a_boundary(sign: int) -> None:
    # y = sign * 0.1 * a against thresholds k * 0.1 as float64 has them: equal, or off by one bit either way.
    for start in range(1, 50):
        thresholds = tuple(0.1 * (start + i) for i in range(3))
        assert_lossless(real(scale=sign * 0.1), Quantizer(2, "uniform", 0.1, thresholds))
        exact = tuple(float(start + i) for i in range(3))
        assert_lossless(real(scale=sign), Quantizer(2, "uniform", 1.0, exact))


def test_strict_at_the_exact_boundary() -> None:
    thresholds, flips = integer_thresholds(real(scale=[1, -1]), Quantizer(1, "uniform", 1.0, (3.0,)), LIMIT)
    # a > 3; and -a > 3, which is a < -3: not (a > -4).
    assert thresholds.tolist() == [[3], [-4]]
    assert flips.tolist() == [False, True]


def test_zero_scale_gives_the_level_of_the_shift() -> None:
    quantizer = quantizer_for(2, "uniform")
    shifts = np.array([-1.0, 0.5, 1.0, 2.0, quantizer.thresholds[0]])
    substructure = real(scale=0.0, shift=shifts)
    assert_lossless(substructure, quantizer)
    thresholds, flips = integer_thresholds(substructure, quantizer, LIMIT)
    levels = count_levels(np.array([-LIMIT, 0, LIMIT]), thresholds, flips)
    assert levels.tolist() == [[level] * 3 for level in quantizer.quantize(shifts)]
    assert not flips.any()


def test_steep_and_flat_channels_are_clamped() -> None:
    quantizer = quantizer_for(2, "half-wave")
    numbers = [1e30, -1e30, 1e-30, -1e-30, 1e-300]
    for shift in (-1.0, 0.0, 1.0, 100.0):
        assert_lossless(real(scale=numbers, shift=shift), quantizer)
    assert_lossless(real(alpha=[0.0, 0.5], shift=0.7), quantizer)


def test_a_bias_that_swallows_the_accumulator() -> None:
    # alpha * a is lost in b = 1e16: y is a staircase in float64, and the thresholds must follow it.
    assert_lossless(real(bias=1e16, mean=1e16, scale=[1, -1], alpha=0.7), quantizer_for(3, "uniform"))


def test_base_and_offset_of_a_uniform_quantiser_give_the_same_thresholds() -> None:
    """Eq. 8: thr_i' = i * base' + offset' before rounding; the file holds the explicit form."""
    rng = np.random.default_rng(0)
    quantizer = quantizer_for(2, "uniform")
    substructure = real(
        scale=rng.normal(0, 1, 400), bias=rng.normal(0, 1, 400), shift=rng.normal(0, 1, 400), alpha=0.03
    )
    thresholds, flips = integer_thresholds(substructure, quantizer, 10**6)
    base = quantizer.step / substructure.slope
    offset = (-0.5 * quantizer.step - substructure.offset) / substructure.slope
    order = np.where(flips[:, None], [3, 2, 1], [1, 2, 3])
    restored = order * base[:, None] + offset[:, None]
    restored = np.where(flips[:, None], np.ceil(restored) - 1, np.floor(restored))
    np.testing.assert_array_equal(thresholds, restored)
