"""Fixed-point numbers against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.quantization.fixed_point import FixedPoint

FORMATS = st.builds(FixedPoint, st.integers(0, 30), st.integers(2, 53))


@given(FORMATS, st.floats(-1e12, 1e12))
def test_encoding_is_the_floor_saturated(numbers: FixedPoint, value: float) -> None:
    exact = math.floor(Fraction(value) * 2**numbers.fraction_bits)
    assert numbers.encode([value]).tolist() == [min(max(exact, numbers.lowest), numbers.highest)]
    assert numbers.fits([value]).tolist() == [numbers.lowest <= exact <= numbers.highest]


@given(FORMATS, st.data())
def test_decoding_is_the_inverse(numbers: FixedPoint, data: st.DataObject) -> None:
    integer = data.draw(st.integers(numbers.lowest, numbers.highest))
    assert numbers.encode(numbers.decode([integer])).tolist() == [integer]


def test_floor_rounds_negative_numbers_down() -> None:
    assert FixedPoint(2).encode([0.25, 0.24, -0.01, -0.25]).tolist() == [1, 0, -1, -1]


def test_ends_of_the_format() -> None:
    numbers = FixedPoint(0, 8)
    assert (numbers.lowest, numbers.highest) == (-128, 127)
    assert numbers.encode([-1e9, 1e9]).tolist() == [-128, 127]
    assert numbers.encode(np.zeros((2, 3))).shape == (2, 3)
