"""The kernel for narrow layers, through the engine, against the reference and the oracles, wherever it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_image, random_program
from tests.runtime.kernels.forced import force
from tests.runtime.kernels.test_kernels import assert_all_equal
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.rows import layer as rows
from tinier_yolo.runtime.kernels.rows.kernels import COLUMNS, PIXELS, convolve_rows


@pytest.fixture(autouse=True)
def _wherever_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, rows, rows.fits)


def network(channels: int, bits: int, block: Block, width: int, height: int, seed: int) -> tuple[Program, Any]:
    """A layer that makes ``channels`` channels of ``bits`` bits, and the one to test."""
    rng = np.random.default_rng(seed)
    image = random_image(rng, height, width)
    text = ifq_cfg([Block(channels, size=1, padding=0, bits=bits), block], width, height)
    return random_program(text, rng, image), image


def uses_it(program: Program, image: Any) -> bool:
    return any(step.kernel is convolve_rows for step in Engine(program).plan(*image.shape[:2]).steps)


@pytest.mark.parametrize("seed", range(12))
def test_random_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(6):
        height, width = (int(side) for side in rng.integers(2, 13, 2))
        channels, filters = (
            int(rng.choice([1, 5, 8, 13, 16, 24, 32, 40, 64])),
            int(rng.choice([1, 5, 8, 16, 17, 32, 40])),
        )
        bits, padding = int(rng.integers(1, 5)), int(rng.integers(0, 2))
        block = Block(filters, pool=(2, 2, padding), bits=int(rng.integers(1, 5)))
        program, image = network(channels, bits, block, width, height, int(rng.integers(1 << 30)))
        assert uses_it(program, image) == (padding == 0 or height % 2 == width % 2 == 0)
        assert_all_equal(program, image, oracle=channels * filters < 300)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [8, 16, 24, 32, 64])
@pytest.mark.parametrize("highest", [False, True])
def test_every_sum_fits_its_byte(channels: int, bits: int, highest: bool) -> None:
    # A map of one level, 0 or n, and weights of one sign: the sums are the largest or 0, less at the border.
    program, image = network(channels, bits, Block(20, pool=(2, 2), bits=4), 8, 6, channels + bits)
    first, second = program.layers
    level = replace(first, thresholds=np.full_like(first.thresholds, first.limit + 1), flips=first.flips | True)
    level = level if highest else replace(level, flips=~level.flips)
    # A corner, an edge and the middle of the map have 4, 6 and 9 taps inside; thresholds at their sums and just below.
    rng, sums = np.random.default_rng(0), ((1 << bits) - 1) * channels * np.array([-9, -6, -4, 0, 4, 6, 9])
    thresholds = np.sort(rng.choice(sums, (20, 15)) - rng.integers(0, 2, (20, 15))).astype(np.int32)
    for byte in (0, 255):
        one_sign = replace(second, packed=np.full_like(second.packed, byte), thresholds=thresholds)
        extreme = replace(program, layers=(level, one_sign))
        assert uses_it(extreme, image)
        assert_all_equal(extreme, image, oracle=channels == 8)


@pytest.mark.parametrize("filters", [5, 8, 16, 17, 32, 40])
def test_every_end_of_a_row(filters: int) -> None:
    for width in (PIXELS - 2, PIXELS, PIXELS + 2, COLUMNS - 1, COLUMNS, COLUMNS + 1, COLUMNS + 2, 2 * COLUMNS + 40):
        program, image = network(9, 2, Block(filters, pool=(2, 2, 0), bits=1 + width // 2 % 4), width, 6, width)
        assert uses_it(program, image)
        assert_all_equal(program, image, oracle=False)


@pytest.mark.parametrize("threads", [2, 3])
def test_rows_are_shared_out(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinier_yolo.runtime.kernels.threads.usable_threads", lambda wanted: wanted)
    monkeypatch.setattr("tinier_yolo.runtime.kernels.threads.set_threads", lambda wanted: wanted)
    program, image = network(16, 2, Block(32, pool=(2, 2)), 70, 14, 3)
    maps, output = Engine(program, threads).run_maps(image)
    expected, expected_output = reference.run_maps(program, image)
    for found, wanted in zip([*maps, output], [*expected, expected_output], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_any_ranges_of_rows_give_the_same() -> None:
    program, image = network(8, 2, Block(20, pool=(2, 2)), 20, 14, 4)
    plan = Engine(program).plan(14, 20)
    plan.run(image)
    (step,) = [step for step in plan.steps if step.kernel is convolve_rows]
    assert step.target is not None
    expected = step.target.data.copy()
    step.target.data[:] = 0
    for row in reversed(range(step.units)):
        step.kernel(*step.arguments, row, row + 1)
    np.testing.assert_array_equal(step.target.data, expected)


def test_a_network_of_any_size_compiles_nothing_new() -> None:
    compiled: Any = convolve_rows
    known = None
    for width, height, channels, bits in ((70, 6, 8, 2), (20, 10, 24, 4), (2, 2, 3, 1)):
        program, image = network(channels, bits, Block(channels, pool=(2, 2), bits=bits), width, height, 5)
        Engine(program).run(image)
        known = known or list(compiled.signatures)
        assert compiled.signatures == known
