from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from tests import fixed_point_detector
from tinier_yolo.quantization.post_training.equalization import LARGEST_GROWTH, equalize
from tinier_yolo.quantization.post_training.folding import FoldedLayer, float_maps, fold


def layers(rng: np.random.Generator) -> tuple[FoldedLayer, ...]:
    """The red detector with random numbers, whose channels differ by a factor of a thousand."""
    made = []
    for layer in fold(fixed_point_detector.network(), fixed_point_detector.parameters()):
        sizes = 10.0 ** rng.uniform(-1.5, 1.5, (len(layer.weights), 1, 1, 1))
        weights = rng.normal(0, 1, layer.weights.shape) * sizes
        made.append(replace(layer, weights=weights, biases=rng.normal(0, 1, len(weights)) * sizes[:, 0, 0, 0]))
    return tuple(made)


def test_the_network_computes_the_same_and_its_channels_are_alike() -> None:
    rng = np.random.default_rng(0)
    network, image = layers(rng), rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)
    equal = equalize(network)
    exact, found = (float_maps(own, image)[-1] for own in (network, equal))
    assert np.allclose(exact, found, rtol=1e-3, atol=1e-4 * np.abs(exact).max())
    for before, (layer, reader) in zip(network, itertools.pairwise(equal), strict=False):
        made = np.sqrt(np.square(layer.weights).mean(axis=(1, 2, 3)))
        read = np.sqrt(np.square(reader.weights).mean(axis=(0, 2, 3)))
        free = np.abs(layer.biases) < 0.99 * LARGEST_GROWTH * np.abs(before.biases).max()
        assert np.allclose(made[free], read[free], rtol=0.02)
        assert free.mean() > 0.6


def test_a_channel_that_its_bias_alone_makes_does_not_outgrow_the_others() -> None:
    network = list(layers(np.random.default_rng(1)))
    network[0].weights[1] *= 1e-9
    network[0].biases[1] = largest = np.abs(network[0].biases).max()
    equal, image = equalize(network), np.random.default_rng(2).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    assert np.abs(equal[0].biases).max() <= LARGEST_GROWTH * largest * (1 + 1e-9)
    exact, found = (float_maps(own, image)[-1] for own in (network, equal))
    assert np.allclose(exact, found, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


def test_a_channel_that_nothing_makes_or_reads_keeps_its_numbers() -> None:
    network = list(layers(np.random.default_rng(1)))
    network[0].weights[1] = 0
    network[2].weights[:, 2] = 0
    equal = equalize(network)
    assert np.array_equal(equal[0].biases[1], network[0].biases[1])
    assert all(np.isfinite(layer.weights).all() and np.isfinite(layer.biases).all() for layer in equal)
