from __future__ import annotations

import numpy as np
import pytest

from tests import fixed_point_detector
from tinier_yolo.errors import ConversionError, UsageError
from tinier_yolo.ifq.fixed_point.layer import IMAGE_FORMAT
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.ifq.fixed_point.reference import run_maps
from tinier_yolo.quantization.post_training.folding import FoldedLayer, float_maps, fold
from tinier_yolo.quantization.post_training.formats import (
    Bits,
    Builder,
    LayerBits,
    build_layer,
    choose_format,
    uniform_bits,
)
from tinier_yolo.quantization.post_training.sqnr import format_sqnr, measured_sqnr
from tinier_yolo.quantization.post_training.statistics import map_statistics


@pytest.mark.parametrize("bits", [2, 4, 8, 13])
@pytest.mark.parametrize("heavy", [False, True])
def test_no_other_binary_point_has_a_better_sqnr(bits: int, heavy: bool) -> None:
    rng = np.random.default_rng(bits)
    values = rng.laplace(0, 0.3, 20_000) if heavy else rng.normal(0, 17, 20_000)
    for signed, own in ((True, values), (False, np.abs(values))):
        chosen = choose_format(own, bits, signed)
        every = {f: format_sqnr(own, NumberFormat(bits, f, signed)) for f in range(-10, 20)}
        assert chosen == NumberFormat(bits, max(every, key=lambda f: every[f]), signed)


def test_limits_of_the_point_hold_and_zeros_have_a_format() -> None:
    assert choose_format([0.001, -0.002], 8, highest=4).fraction == 4
    assert choose_format([1000.0], 4, lowest=-3).fraction == -3
    assert choose_format(np.zeros(5), 8) == NumberFormat(8, 0)
    assert choose_format([1.0], 16, signed=False).signed


def builder(image: np.ndarray) -> Builder:
    layers = fold(fixed_point_detector.network(), fixed_point_detector.parameters())
    return Builder(layers, map_statistics(layers, [image], 1))


def test_many_bits_give_the_float_network_and_fewer_more_noise() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    made = builder(image)
    exact = float_maps(tuple(made.layers), image)[-1]
    ratios = []
    for bits in (4, 8, 14):
        program = FixedPointProgram(fixed_point_detector.network(), made.build(uniform_bits(6, bits)), ("face",))
        output = run_maps(program, image)[-1]
        ratios.append(measured_sqnr(exact, program.layers[-1].formats.maps.decode(output)))
    assert ratios[0] < ratios[1] - 12 < ratios[2] - 30
    assert ratios[2] > 60


def test_weights_lose_bits_behind_the_point_where_int32_would_overflow() -> None:
    part = fold(fixed_point_detector.network(), fixed_point_detector.parameters())[0].part
    weights = np.random.default_rng(0).uniform(0.8, 0.99, part.convolution.weight_shape)
    folded = FoldedLayer(part, weights, np.zeros(3))
    wide = build_layer(folded, NumberFormat(16, 15), LayerBits(16, 16, 16), np.array([0.5, -0.7]))
    assert wide.reach <= 2**31 - 1
    assert wide.formats.weights.fraction < choose_format(folded.weights, 16).fraction
    assert 2 * wide.reach > 2**31 - 1


def test_layers_that_are_the_same_are_the_same_objects() -> None:
    made = builder(np.full((128, 128, 3), 90, np.uint8))
    bits = uniform_bits(6, 8)
    first = made.build(bits)
    other: Bits = (*bits[:3], LayerBits(5, 8, 8), *bits[4:])
    second = made.build(other)
    assert [one is two for one, two in zip(first, second, strict=True)] == [True, True, True, False, True, True]
    made.forget(other)
    assert made.build(other)[3] is second[3]
    assert made.build(bits)[3] is not first[3]
    assert first[0].read == IMAGE_FORMAT
    with pytest.raises(ConversionError, match="not the bits of this network"):
        made.build(bits[:-1])


def test_no_images() -> None:
    layers = fold(fixed_point_detector.network(), fixed_point_detector.parameters())
    with pytest.raises(UsageError, match="no calibration images"):
        map_statistics(layers, [], 0)
