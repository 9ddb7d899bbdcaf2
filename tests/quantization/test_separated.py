"""Separated conversion of the last layer: Eq. 5, and overflow found before it happens."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_parameters
from tests.quantization.test_integrated import LIMIT, real
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.float64 import RealSubstructure
from tinier_yolo.quantization.hwgq import Quantizer, quantizer_for
from tinier_yolo.quantization.integrated import integer_thresholds
from tinier_yolo.quantization.proof import count_levels
from tinier_yolo.quantization.separated import fixed_point_output, separated, separated_quantizer


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


def naive_level(own: RealSubstructure, quantizer: Quantizer, channel: int, accumulator: int, m: int) -> int:
    """Eq. 5, 2 and 3 in fractions, every real number x as floor(x * Q) / Q."""

    def floored(value: float, power: int = m) -> Fraction:
        return Fraction(math.floor(Fraction(value) * 2**power), 2**power)

    y = floored(own.alpha[channel]) * floored(own.step) * accumulator + floored(own.bias[channel], 2 * m)
    y = floored(own.scale[channel]) * (y - floored(own.mean[channel])) / floored(own.deviation[channel])
    y += floored(own.shift[channel])
    return sum(y > floored(threshold) for threshold in quantizer.thresholds)


@pytest.mark.parametrize("m", [4, 8, 12])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_the_thresholds_are_eq_5_in_fractions(m: int, bits: int) -> None:
    rng = np.random.default_rng(m + bits)
    own = real(
        alpha=rng.uniform(0.05, 0.5, 12),
        step=0.5388,
        bias=rng.normal(0, 2, 12),
        mean=rng.normal(0, 2, 12),
        deviation=rng.uniform(0.2, 3, 12),
        scale=rng.normal(0, 1, 12),
        shift=rng.normal(0, 1, 12),
    )
    quantizer = quantizer_for(bits)
    rounded = separated(own, m)
    thresholds, flips = integer_thresholds(rounded, separated_quantizer(quantizer, m), LIMIT)
    accumulators = np.arange(-LIMIT, LIMIT + 1)
    levels = count_levels(accumulators, thresholds, flips)
    for channel in range(12):
        expected = [naive_level(own, quantizer, channel, int(a), m) for a in accumulators]
        assert levels[channel].tolist() == expected


def test_a_network_comes_near_to_the_integrated_one_as_m_grows() -> None:
    network = Network.parse(ifq_cfg([Block(9, pool=(2, 2)), Block(12)], 32, 32) + "\n[region]\nanchors=1,1\nnum=1\n")
    parameters = random_parameters(network, np.random.default_rng(0))
    exact = convert(network, parameters).program
    differences = []
    for m in (6, 10, 14, 30):
        own = convert(network, parameters, separated_m={0: m, 1: m}).program
        pairs = zip(exact.layers, own.layers, strict=True)
        differences.append(sum(int(np.abs(a.thresholds - b.thresholds).sum()) for a, b in pairs))
        assert np.array_equal(own.output.multipliers, exact.output.multipliers)
    assert differences[0] > differences[1] > differences[2] >= differences[3]
    assert differences[3] <= 2, "30 bits leave the thresholds where they are, but for a boundary"
    last = convert(network, parameters, separated_m={2: 5}).program
    assert not np.array_equal(last.output.multipliers, exact.output.multipliers)
    assert np.array_equal(last.layers[1].thresholds, exact.layers[1].thresholds)


def test_a_deviation_that_vanishes_is_refused() -> None:
    network = Network.parse(ifq_cfg([Block(3)], 16, 16) + "\n[region]\nanchors=1,1\nnum=1\n")
    parameters = random_parameters(network, np.random.default_rng(0))
    norm = next(arrays for arrays in parameters if "variances" in arrays)
    norm["variances"][1] = 0
    with pytest.raises(ConversionError, match="m = 8 is too small: the deviation of channel 1 becomes 0"):
        convert(network, parameters, separated_m={0: 8})
    convert(network, parameters, separated_m={0: 9})
