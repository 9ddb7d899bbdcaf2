from __future__ import annotations

import numpy as np
import pytest

from tests.random_fixed_point import image_for, naive_layer, random_program
from tinier_yolo.ifq.fixed_point.layer import LEAKY_FACTOR, activate, requantize
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.fixed_point.reference import run_maps


@pytest.mark.parametrize("seed", range(20))
def test_a_layer_is_the_exact_arithmetic_of_fractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    image = image_for(program, rng)
    found = run_maps(program, image)[-1]
    assert found.tolist() == naive_layer(program.layers[0], image.transpose(2, 0, 1).tolist())


def test_leaky_is_rounded_to_the_nearest_with_ties_away_from_zero() -> None:
    sums = np.array([-1, -4, -5, -4096, -12288, -(2**31) + 1, 7, 0], np.int32)
    exact = [-round(abs(int(value)) * LEAKY_FACTOR / 2**15 + 1e-9) if value < 0 else int(value) for value in sums]
    assert activate(sums, "leaky").tolist() == exact
    assert exact[3:5] == [-410, -1229]  # 409.5 and 1228.5


def test_shifts_round_ties_away_from_zero_and_saturate() -> None:
    sums = np.array([6, -6, 5, -5, 2, -2, 1, -1, 400, -400], np.int32)
    assert requantize(sums, 2, NumberFormat(6, 0)).tolist() == [2, -2, 1, -1, 1, -1, 0, 0, 31, -32]
    assert requantize(sums, 0, NumberFormat(6, 0)).tolist() == [6, -6, 5, -5, 2, -2, 1, -1, 31, -32]
    assert requantize(sums, 0, NumberFormat(6, 0, signed=False)).tolist() == [6, 0, 5, 0, 2, 0, 1, 0, 63, 0]
