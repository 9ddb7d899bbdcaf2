"""Published values (Max 1960; Lin et al. 2016) to their last digit, and a plain numerical minimum."""

from __future__ import annotations

import numpy as np
import pytest

from tinier_yolo.quantization.post_training.optimal_step import (
    GAUSSIAN,
    LAPLACIAN,
    Distribution,
    fitted_kappa,
    optimal_sqnr,
    optimal_step,
)


@pytest.mark.parametrize(
    ("bits", "step", "sqnr"),
    [
        (1, "1.596", "4.40"),
        (2, "0.9957", "9.25"),
        (3, "0.5860", "14.27"),
        (4, "0.3352", "19.38"),
        (5, "0.1881", "24.57"),
        (6, "0.1041", "29.83"),
    ],
)
def test_gaussian_steps_and_sqnr_are_those_of_the_papers(bits: int, step: str, sqnr: str) -> None:
    assert f"{optimal_step(bits):.{len(step) - 2}f}" == step
    assert f"{optimal_sqnr(bits):.2f}" == sqnr


# Of 4 bits Lin et al. print 0.456, whose error is 0.05 % above the least; Jayant and Noll (1984) have 0.461.
@pytest.mark.parametrize(("bits", "step"), [(1, "1.414"), (2, "1.087"), (3, "0.731"), (4, "0.461")])
def test_laplacian_steps_are_those_of_the_papers(bits: int, step: str) -> None:
    assert f"{optimal_step(bits, LAPLACIAN):.3f}" == step


@pytest.mark.parametrize("distribution", [GAUSSIAN, LAPLACIAN], ids=lambda d: d.name)
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_no_other_step_has_a_smaller_error(distribution: Distribution, bits: int) -> None:
    x = np.linspace(0, 30, 600_001)
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi) if distribution is GAUSSIAN else np.exp(-np.sqrt(2) * x) / 2**0.5

    def error(step: float) -> float:
        level = np.minimum(np.floor(x / step), 2 ** (bits - 1) - 1) + 0.5
        return float(2 * np.sum((x - level * step) ** 2 * density) * (x[1] - x[0]))

    step = optimal_step(bits, distribution)
    assert error(step) < min(error(0.99 * step), error(1.01 * step))
    assert -10 * np.log10(error(step)) == pytest.approx(optimal_sqnr(bits, distribution), abs=1e-3)


def test_a_bit_of_a_gaussian_is_worth_about_five_decibels() -> None:
    assert fitted_kappa() == pytest.approx(5.09, abs=0.01)
    assert optimal_sqnr(16) - optimal_sqnr(15) == pytest.approx(5.8, abs=0.1)
