"""The first layer's kernel, through the engine, against the reference and the oracles."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_image, random_program
from tests.runtime.kernels.test_kernels import assert_all_equal
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.image.kernels import convolve_image


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("filters", [1, 5, 8, 9, 16, 17, 20, 24, 32])
def test_the_image_kernel(bits: int, filters: int) -> None:
    rng = np.random.default_rng(bits * 100 + filters)
    # A block alone for the oracle; then several, whose lines, columns and cells stand beside others.
    for height, width in ((16, 32), (48, 96)):
        image = random_image(rng, height, width)
        program = random_program(ifq_cfg([Block(filters, pool=(2, 2), bits=bits)], width, height), rng, image)
        plan = Engine(program).plan(height, width)
        assert plan.steps[0].kernel is convolve_image
        assert_all_equal(program, image, oracle=height == 16)


@pytest.mark.parametrize("filters", [5, 8, 16, 20])
def test_the_image_kernel_writes_only_its_blocks(filters: int) -> None:
    rng = np.random.default_rng(filters)
    image = random_image(rng, 64, 32)
    plan = Engine(random_program(ifq_cfg([Block(filters, pool=(2, 2)), Block(4)], 32, 64), rng, image)).plan(64, 32)
    step, (target, *_) = plan.steps[0], plan.maps
    step.run(image)
    expected = target.data.copy()
    inside = target.levels()[:, 8:24].copy()
    target.data[:] = 0
    step.kernel(image, *step.arguments, 1, 3)
    np.testing.assert_array_equal(target.levels()[:, 8:24], inside)
    assert inside.any()
    assert not target.levels()[:, :8].any()
    assert not target.levels()[:, 24:].any()
    step.kernel(image, *step.arguments, 3, 4)
    step.kernel(image, *step.arguments, 0, 1)
    np.testing.assert_array_equal(target.data, expected)  # The border too, and what lies between the planes.
    assert int(np.unpackbits(target.data).sum()) == int(np.unpackbits(target.levels()).sum())
