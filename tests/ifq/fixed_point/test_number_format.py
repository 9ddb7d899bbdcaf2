from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tinier_yolo.ifq.fixed_point.number_format import NumberFormat


def test_rounding_is_to_the_nearest_ties_away_from_zero_and_saturates() -> None:
    numbers = NumberFormat(4, 1)
    values = [0.25, -0.25, 0.24, -0.24, 3.4, 9, -9, np.nextafter(0.25, 0)]
    assert numbers.encode(values).tolist() == [1, -1, 0, 0, 7, 7, -8, 0]
    assert NumberFormat(4, 1, signed=False).encode([-1, 7.4, 100]).tolist() == [0, 15, 15]
    assert (NumberFormat(4, 0).encode([0.49999999999999994]) == 0).all()


@pytest.mark.parametrize(
    "numbers", [NumberFormat(2, 9), NumberFormat(8, -3), NumberFormat(5, 2, signed=False)], ids=str
)
def test_every_integer_of_a_format_comes_back(numbers: NumberFormat) -> None:
    integers = np.arange(numbers.lowest, numbers.highest + 1)
    assert (numbers.encode(numbers.decode(integers)) == integers).all()
    assert Fraction(float(numbers.decode(1))) == Fraction(2) ** -numbers.fraction


@pytest.mark.parametrize(("bits", "fraction"), [(1, 0), (17, 0), (8, 64), (8, -64)])
def test_what_is_no_format(bits: int, fraction: int) -> None:
    with pytest.raises(ValueError, match="no number format"):
        NumberFormat(bits, fraction)
