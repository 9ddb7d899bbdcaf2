"""The layout of the kernel for narrow layers, and what it should take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import Block
from tests.runtime.kernels.test_packing import program
from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.rows.kernels import CHANNELS, COLUMNS, PATTERNS, SLOT
from tinier_yolo.runtime.kernels.rows.layer import _runs, cost, fits, pack, vectors
from tinier_yolo.runtime.maps import MapLayout


def layer(block: Block, channels: int = 8, bits: int = 2) -> QuantizedLayer:
    return replace(program(block, channels).layers[0], input_bits=bits)


def maps(read: Shape, write: Shape) -> tuple[MapLayout, MapLayout]:
    return MapLayout(read, 2, 1), MapLayout(write, 2, 1)


@pytest.mark.parametrize("channels", [1, 8, 13, 24])
def test_terms_are_the_weights(channels: int) -> None:
    rows = layer(Block(18, pool=(2, 2)), channels)
    fours = 2 * -(-channels // 8)
    terms = pack(rows).filters.terms.reshape(18, 3, fours)
    seen = 0
    for f, y, four in np.ndindex(terms.shape):
        for x in range(3):
            place = int(terms[f, y, four]) >> 16 * x & 0xFFFF
            assert place % SLOT == 0
            assert place // SLOT // PATTERNS == four
            for bit in range(CHANNELS):
                channel = four * CHANNELS + bit
                expected = channel < channels and rows.signs[f, channel, y, x] > 0
                assert place // SLOT >> bit & 1 == expected
                seen += channel < channels
    assert seen == rows.signs.size


def test_bounds_and_flips_are_those_of_the_levels() -> None:
    rows = layer(Block(21, pool=(2, 2), bits=3))
    packed = pack(rows).filters
    positive = 3 * (rows.signs > 0).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(packed.bounds.reshape(21, 7), positive[:, None] - rows.thresholds)
    flips = [int(packed.flips[f // 16]) >> f % 16 & 1 for f in range(32)]
    assert flips == [*rows.flips.astype(int).tolist(), *[0] * 11]
    assert packed.number == 21


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_runs_cover_a_row_and_fit_a_byte(bits: int) -> None:
    highest = (1 << bits) - 1
    for fours in range(2, 34, 2):
        run, runs = _runs(fours, bits)
        assert run * max(runs, 1) == fours
        additions = run * 3 * (3 if runs == 0 else 1)
        assert additions * CHANNELS * highest <= 255
        assert (runs == 0) == (9 * fours * CHANNELS * highest <= 255)


def test_which_layers_the_kernel_can_do() -> None:
    shapes = maps(Shape(8, 208, 208), Shape(16, 104, 104))
    assert fits(layer(Block(16, pool=(2, 2))), *shapes)
    assert fits(layer(Block(16, pool=(2, 2), bits=4), bits=4), *shapes)
    for block in (
        Block(16),
        Block(16, pool=(2, 1)),
        Block(16, pool=(3, 2)),
        Block(16, 1, 1, 0, (2, 2)),
        Block(16, 3, 2, 1, (2, 2)),
        Block(16, 3, 1, 0, (2, 2)),
        Block(16, pool=(2, 2, 2)),
    ):
        assert not fits(layer(block), *shapes)
    fitting = Block(16, pool=(2, 2))
    assert not fits(layer(fitting, 65), *shapes)
    assert not fits(layer(fitting, bits=8), *shapes)
    # A window over the edge.
    assert not fits(layer(fitting), *maps(Shape(8, 208, 207), Shape(16, 104, 104)))
    assert not fits(layer(fitting), *maps(Shape(8, 207, 208), Shape(16, 104, 104)))


def test_a_row_takes_as_many_vectors_as_its_slots_need() -> None:
    widths = (2, 32, 34, 62, 64, 94, 96, 104, 124, 208, 416)
    assert [vectors(width) for width in widths] == [1, 1, 2, 2, 3, 3, 4, 4, 4, 7, 14]


def test_more_work_costs_more() -> None:
    def of(filters: int, channels: int, bits: int, width: int) -> float:
        shapes = maps(Shape(channels, width, width), Shape(filters, width // 2, width // 2))
        return cost(layer(Block(filters, pool=(2, 2)), channels, bits), *shapes, Costs(1, 1, 1, 1))

    assert of(16, 16, 2, 62) < of(17, 16, 2, 62) < of(17, 24, 2, 62)
    assert of(16, 32, 2, 62) < of(16, 32, 3, 62)
    # Half of the lanes beyond the first slot are idle.
    assert of(16, 16, 2, 62) / 62**2 < of(16, 16, 2, 64) / 64**2


@pytest.mark.parametrize("channels", [8, 16, 24])
def test_a_slot_may_be_read_from_any_row(channels: int) -> None:
    for width in (2, 62, 64, 126):
        layout = MapLayout(Shape(channels, 4, width), 2, 1)
        left = (width - 1) // COLUMNS * COLUMNS
        last_row = layout.plane_bytes + (layout.shape.height + 1) * layout.row_bytes
        last = last_row + left * layout.channel_bytes + SLOT * layout.channel_bytes
        # The kernel that takes every second byte starts at the second, and reads 128 all the same.
        data = layout.allocate()
        assert data.base is not None
        assert last + (layout.channel_bytes == 2) <= data.base.ctypes.data + data.base.nbytes - data.ctypes.data
