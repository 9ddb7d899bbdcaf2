from __future__ import annotations

import numpy as np
import pytest

from tests import fixed_point_detector
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.quantization.post_training.folding import fold
from tinier_yolo.quantization.post_training.formats import Builder, LayerBits, uniform_bits
from tinier_yolo.quantization.post_training.statistics import map_statistics
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.fixed_point.cached_maps import CachedMaps


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_only_the_layers_behind_a_change_are_run_and_the_maps_are_the_same(threads: int) -> None:
    rng = np.random.default_rng(0)
    network = fixed_point_detector.network()
    images = [rng.integers(0, 256, (128, 128, 3)).astype(np.uint8) for _ in range(3)]
    layers = fold(network, fixed_point_detector.parameters())
    builder = Builder(layers, map_statistics(layers, images, 3))

    def program(bits: tuple[LayerBits, ...]) -> FixedPointProgram:
        return FixedPointProgram(network, builder.build(bits), ("face",))

    bits = uniform_bits(6, 8)
    cached = CachedMaps(program(bits), images, threads)
    for changed, layers_run in ((None, 6), (4, 2), (2, 4), (2, 4), (5, 1), (5, 1)):
        if changed is not None:
            bits = (*bits[:changed], LayerBits(bits[changed].weights - 1, 8, 8), *bits[changed + 1 :])
        before = cached.layers_run
        outputs = cached.run(builder.build(bits))
        assert cached.layers_run - before == 3 * layers_run
        engine = Engine(program(bits))
        for image, output in zip(images, outputs, strict=True):
            assert (output == engine.run(image)).all()
        cached.accept(builder.build(bits))
    with pytest.raises(ValueError, match="only the layers that were run last"):
        cached.accept(builder.build(uniform_bits(6, 7)))


def test_a_trial_that_is_not_accepted_leaves_nothing_behind() -> None:
    rng = np.random.default_rng(1)
    network = fixed_point_detector.network()
    images = [rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)]
    layers = fold(network, fixed_point_detector.parameters())
    builder = Builder(layers, map_statistics(layers, images, 1))
    bits = uniform_bits(6, 8)
    cached = CachedMaps(FixedPointProgram(network, builder.build(bits), ("face",)), images)
    accepted = cached.run(builder.build(bits))
    cached.accept(builder.build(bits))
    cached.run(builder.build(uniform_bits(6, 3)))
    assert (cached.run(builder.build(bits))[0] == accepted[0]).all()


def test_without_keeping_maps_outputs_are_the_same_and_nothing_can_be_accepted() -> None:
    rng = np.random.default_rng(2)
    network = fixed_point_detector.network()
    images = [rng.integers(0, 256, (128, 128, 3)).astype(np.uint8) for _ in range(3)]
    layers = fold(network, fixed_point_detector.parameters())
    builder = Builder(layers, map_statistics(layers, images, 3))
    program = FixedPointProgram(network, builder.build(uniform_bits(6, 8)), ("face",))
    keeping, other = CachedMaps(program, images, 2), CachedMaps(program, images, 2, keep=False)
    for bits in (8, 4):
        made = builder.build(uniform_bits(6, bits))
        outputs = zip(keeping.run(made), other.run(made), strict=True)
        assert all(np.array_equal(one, two) for one, two in outputs)
    with pytest.raises(ValueError, match="only the layers that were run last"):
        other.accept(builder.build(uniform_bits(6, 4)))
