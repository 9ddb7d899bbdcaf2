"""The layout of the lookup kernels, and what they should take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.lookup import layer as lookup
from tinier_yolo.runtime.kernels.lookup.kernels import BLOCK
from tinier_yolo.runtime.kernels.lookup.vectors import BITS, ENTRIES
from tinier_yolo.runtime.kernels.packing import Quads
from tinier_yolo.runtime.maps import MapLayout, PackedMap

pytestmark = pytest.mark.skipif(not BITS, reason="this machine has no instruction to look up bytes with")


def layer(filters: int, channels: int, bits: int = 2) -> QuantizedLayer:
    rng = np.random.default_rng(0)
    blocks = [Block(channels, size=1, padding=0, bits=bits), Block(filters)]
    return random_program(ifq_cfg(blocks, 8, 8), rng, random_image(rng, 8, 8)).layers[1]


def test_sums_beyond_uint16_are_counted() -> None:
    maps = MapLayout(Shape(400, 8, 8), 4, 1), MapLayout(Shape(65, 8, 8), 4, 1)
    assert lookup.fits(layer(65, 400, bits=4), *maps)
    assert not lookup.fits(layer(65, 500, bits=4), *maps)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 90), st.integers(1, 40))
def test_the_order_holds_every_lookup_once(size: int, chunks: int, most: int) -> None:
    order, bursts, segments = lookup._ordered(size, chunks, most)
    cells = [(row, column, chunk) for row in range(size) for column in range(size) for chunk in range(chunks)]
    assert sorted(map(tuple, order.tolist())) == cells
    assert sum(bursts) == len(cells)
    assert max(bursts) <= most
    assert (segments[0], segments[-1]) == (0, len(bursts))
    assert sorted(set(segments)) == list(segments)
    ends = np.cumsum(bursts)
    for first, end in zip([0, *ends], ends, strict=False):
        assert len({row for row, _, _ in order[first:end].tolist()}) == 1  # A burst has one row: one set of places.


def test_codes_count_the_bits_that_differ() -> None:
    tables = lookup.codes(3).reshape(3, ENTRIES, ENTRIES)
    for plane, code, index in np.ndindex(tables.shape):
        assert tables[plane, code, index] == (int(code) ^ int(index)).bit_count() << int(plane)


def test_more_work_costs_more() -> None:
    maps = MapLayout(Shape(256, 13, 13), 2, 1), MapLayout(Shape(512, 13, 13), 2, 1)
    whole = lookup.cost(layer(512, 256), *maps, Costs(1, 1, 1, 1))
    assert lookup.cost(layer(448, 256), *maps, Costs(1, 1, 1, 1)) < whole
    assert lookup.cost(layer(512, 200), *maps, Costs(1, 1, 1, 1)) < whole
    assert lookup.cost(layer(512, 256), *maps, Costs(1, 1, 0.9, 0.9)) < whole
    assert lookup.cost(layer(512, 256), *maps, Costs(1, 2, 1, 1)) == whole


@pytest.mark.parametrize("size", [(13, 13), (6, 10), (3, 1)])
def test_the_ring_keeps_the_tables_of_a_row_until_no_window_needs_them(size: tuple[int, int]) -> None:
    packed = lookup.pack(layer(65, 20))
    read, write = PackedMap(MapLayout(Shape(20, *size), 2, 1)), MapLayout(Shape(65, *size), 2, 1)
    quads = Quads.of(packed.layer, read.layout, write)
    made = packed.lookup(read, quads.windows)
    tables_of_a_row = made.cells * made.chunks * ENTRIES
    rows = quads.windows.reshape(-1, 4) // read.layout.row_bytes
    places = made.places.reshape(-1, 3, 4) // tables_of_a_row
    for start in range(len(quads)):  # A thread's share may begin at any quad.
        block = slice(start, start + BLOCK)
        ring: dict[int, int] = {}
        for row in range(int(made.needed[block][-1])):
            ring[row % made.slots] = row
        for quad in range(len(quads))[block]:
            for y in range(3):
                assert [ring[int(slot)] for slot in places[quad, y]] == (rows[quad] + y).tolist()
