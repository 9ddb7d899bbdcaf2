from __future__ import annotations

import itertools

import pytest

from tinier_yolo.quantization.post_training.allocation import allocate, allocations, bit_differences, measured_kappa


def test_a_layer_twice_as_large_gets_one_bit_less_at_three_decibels() -> None:
    assert bit_differences([100, 200, 400], 3.0103) == pytest.approx((0, -1, -2), abs=1e-5)
    assert allocate([100, 200, 400], 3.0103, 8) == (8, 7, 6)


def test_no_other_whole_bits_of_the_same_noise_cost_less() -> None:
    costs, kappa = (10, 160, 2560), 6.0206
    bits = allocate(costs, kappa, 8)
    noise = sum(10 ** (-kappa * b / 10) for b in bits)
    best = min(
        (sum(cost * b for cost, b in zip(costs, other, strict=True)), other)
        for other in itertools.product(range(2, 13), repeat=3)
        if sum(10 ** (-kappa * b / 10) for b in other) <= noise * (1 + 1e-9)
    )
    assert best[1] == bits == (8, 6, 4)


def test_bits_stay_between_two_and_sixteen_and_the_sweep_grows() -> None:
    swept = allocations([1, 1000], 5.0)
    assert swept[0] == (2, 2)
    assert swept[-1] == (16, 16)
    assert all(a <= b for one, other in itertools.pairwise(swept) for a, b in zip(one, other, strict=True))


def test_kappa_is_the_slope() -> None:
    assert measured_kappa({4: 20.0, 5: 26.0, 6: 32.0}) == pytest.approx(6)
    with pytest.raises(ValueError, match="two bit widths"):
        measured_kappa({4: 1.0})
    with pytest.raises(ValueError, match="does not grow"):
        measured_kappa({4: 2.0, 5: 1.0})
