from __future__ import annotations

import numpy as np
import pytest

from tests import fixed_point_detector
from tests.quantization.post_training.test_equalization import layers
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.quantization.post_training.folding import FoldedLayer, float_maps, fold, windows
from tinier_yolo.quantization.post_training.formats import Builder, uniform_bits
from tinier_yolo.quantization.post_training.rounding import Compensated, Nearest, RoundedWeights
from tinier_yolo.quantization.post_training.statistics import input_moments, map_statistics


def wide_layer(rng: np.random.Generator) -> FoldedLayer:
    """A layer of 20 filters over 6 channels of 3x3, and moments of correlated inputs with a mean."""
    first = fold(fixed_point_detector.network(), fixed_point_detector.parameters())[0]
    return FoldedLayer(first.part, rng.normal(0, 0.3, (20, 6, 3, 3)), rng.normal(0, 0.1, 20))


def inputs(rng: np.random.Generator) -> np.ndarray:
    values = rng.normal(1, 1, (500, 8)) @ rng.normal(0, 1, (8, 54)) + rng.normal(0, 0.1, (500, 54))
    return np.column_stack([values, np.ones(500)])


def noise(layer: FoldedLayer, rounded: RoundedWeights, seen: np.ndarray) -> float:
    def sums(weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
        return seen @ np.column_stack([weights.reshape(len(weights), -1), biases]).T

    exact = sums(layer.weights, layer.biases)
    found = sums(rounded.numbers.decode(rounded.integers), rounded.biases)
    return float(np.square(exact - found).mean() / exact.var())


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_sums_are_nearer_than_with_the_nearest_weights(bits: int) -> None:
    rng = np.random.default_rng(bits)
    layer, seen = wide_layer(rng), inputs(rng)
    numbers = NumberFormat(bits, bits - 1)
    compensated = Compensated(seen.T @ seen / len(seen))
    own, nearest = compensated(layer, numbers), Nearest()(layer, numbers)
    assert noise(layer, own, seen) < 0.3 * noise(layer, nearest, seen)
    assert own.integers.shape == layer.weights.shape
    assert own.integers.min() >= numbers.lowest
    assert own.integers.max() <= numbers.highest


def test_with_independent_inputs_without_a_mean_it_is_the_nearest() -> None:
    layer, numbers = wide_layer(np.random.default_rng(5)), NumberFormat(5, 4)
    own = Compensated(np.eye(55))(layer, numbers)
    assert np.array_equal(own.integers, Nearest()(layer, numbers).integers)
    assert np.array_equal(own.biases, layer.biases)


def test_the_better_point_is_never_worse_and_within_its_limit() -> None:
    rng = np.random.default_rng(6)
    layer, seen = wide_layer(rng), inputs(rng)
    compensated = Compensated(seen.T @ seen / len(seen))
    start = NumberFormat(3, 5)
    better = compensated.better(layer, start, 20)
    assert better.fraction == 4
    assert noise(layer, compensated(layer, better), seen) < noise(layer, compensated(layer, start), seen)
    assert compensated.better(layer, NumberFormat(3, 0), 0).fraction == 0
    assert Nearest().better(layer, start, 20) == start


def test_moments_are_those_of_what_the_weights_are_multiplied_with() -> None:
    image = np.random.default_rng(7).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    network = layers(np.random.default_rng(8))
    moments = input_moments(network, [image], 1)
    seen = windows(float_maps(network, image)[1], network[2].part.convolution).reshape(3, -1)
    exact = np.vstack([seen, np.ones(seen.shape[1])]).astype(np.float64)
    assert np.allclose(moments[2], exact @ exact.T / exact.shape[1], rtol=1e-4)


def test_a_program_of_few_bits_is_nearer_to_the_float_network() -> None:
    image = np.random.default_rng(9).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    network = fold(fixed_point_detector.network(), fixed_point_detector.parameters())
    statistics = map_statistics(network, [image], 1)
    roundings = [Compensated(own) for own in input_moments(network, [image], 1)]
    plain, own = (Builder(network, statistics, made).build(uniform_bits(6, 4)) for made in ((), roundings))
    exact = float_maps(network[:1], image)[0]
    errors = []
    for layer in (plain[0], own[0]):
        sums = np.tensordot(layer.formats.weights.decode(layer.weights)[:, :, 0, 0], image / 256, axes=(1, 2))
        sums += layer.formats.biases.decode(layer.biases)[:, None, None]
        pooled = np.maximum(sums, 0.1 * sums).reshape(3, 64, 2, 64, 2).max(axis=(2, 4))
        errors.append(np.square(pooled - exact).mean())
    assert errors[1] <= errors[0]
