"""The layout of the kernel for narrow layers, and where it is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import Block
from tests.runtime.kernels.test_packing import program
from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels.lookup.vectors import BITS
from tinier_yolo.runtime.kernels.rows import layer as rows_family
from tinier_yolo.runtime.kernels.rows.kernels import CHANNELS, COLUMNS, PATTERNS, SLOT
from tinier_yolo.runtime.kernels.rows.layer import _runs, fits, pack, takes, vectors
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


@pytest.mark.parametrize(("words", "expected"), [(True, "yynnnny"), (False, "yyyyyny")])
def test_where_it_pays_off(words: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_family, "COUNTS_WORDS", words)
    found = ""
    for channels, bits, width in (
        (8, 2, 208),
        (16, 2, 104),
        (32, 2, 104),
        (8, 1, 208),
        (8, 2, 26),
        (8, 1, 20),
        (32, 3, 52),
    ):
        shapes = maps(Shape(channels, width, width), Shape(16, width // 2, width // 2))
        pays = takes(layer(Block(16, pool=(2, 2)), channels, bits), *shapes)
        found += "y" if pays else "n"
    assert found == expected


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


@pytest.mark.skipif(not BITS, reason="this machine has no instruction to look up bytes with")
def test_of_more_than_64_filters_lookups_are_preferred() -> None:
    shapes = maps(Shape(32, 104, 104), Shape(128, 52, 52))
    assert fits(layer(Block(128, pool=(2, 2)), 32, 2), *shapes)
    assert not takes(layer(Block(128, pool=(2, 2)), 32, 2), *shapes)
