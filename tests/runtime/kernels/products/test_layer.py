"""The kernels against the reference and the plain-Python oracle, on every map, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.random_fixed_point import image_for, naive_layer, random_program
from tinier_yolo.ifq.fixed_point.reference import run_maps
from tinier_yolo.runtime.engine import Engine


@pytest.mark.parametrize("seed", range(250))
def test_random_programs_give_the_integers_of_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng, layers=2)
    image = image_for(program, rng)
    maps, output = Engine(program).run_maps(image)
    for found, expected in zip(maps, run_maps(program, image), strict=True):
        assert (found == expected).all()
    assert output.dtype == np.int32
    assert (output == maps[-1]).all()


@pytest.mark.parametrize("seed", range(500, 510))
def test_and_those_of_plain_python(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng, bits=8)
    image = image_for(program, rng)
    assert Engine(program).run(image).tolist() == naive_layer(program.layers[0], image.transpose(2, 0, 1).tolist())


def test_wide_numbers_whose_products_fill_int32() -> None:
    rng = np.random.default_rng(3)
    program = random_program(rng, layers=2, bits=11)
    image = image_for(program, rng)
    assert max(layer.reach for layer in program.layers) > 1 << 26
    assert (Engine(program).run(image) == run_maps(program, image)[-1]).all()


def test_several_threads_and_a_second_image_and_another_size() -> None:
    rng = np.random.default_rng(7)
    program = random_program(rng, layers=3)
    engine = Engine(program, threads=2)
    for _ in range(2):
        image = image_for(program, rng)
        assert (engine.run(image) == run_maps(program, image)[-1]).all()
    larger = np.pad(image, ((0, 9), (0, 14), (0, 0)), mode="reflect")
    assert (engine.run(larger) == run_maps(program, larger)[-1]).all()
