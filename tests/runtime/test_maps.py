"""Maps, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import naive
from tests.networks import Block, random_image
from tests.runtime.kernels.test_packing import program
from tinier_yolo.darknet.layers import Shape
from tinier_yolo.errors import UsageError
from tinier_yolo.runtime.kernels.image.kernels import Planes, pack_image
from tinier_yolo.runtime.maps import ALIGNMENT, MapLayout, PackedMap, aligned


def test_arrays_begin_on_a_cache_line() -> None:
    for shape in ((1,), (3, 5), (1000,)):
        array = aligned(shape, np.int32)
        assert array.shape == shape
        assert array.ctypes.data % ALIGNMENT == 0
        assert not array.any()


@settings(max_examples=40, deadline=None)  # The first example compiles.
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 3))
def test_a_packed_image_unpacks_to_itself(channels: int, height: int, width: int, planes: int, border: int) -> None:
    layout = MapLayout(Shape(channels, height, width), 8, border)
    image = random_image(np.random.default_rng(planes), height, width, channels)
    data = layout.allocate()
    pack_image(image, *Planes(data, layout.plane_bytes, layout.cells().ravel()), 0, height)
    np.testing.assert_array_equal(layout.unpack(data), image.transpose(2, 0, 1))
    # Plane p, cell by cell, is bit p of the levels; nothing is set outside the cells.
    expected = naive.bit_planes(image.transpose(2, 0, 1).tolist(), 8)
    for p in range(8):
        for y, x in np.ndindex(height, width):
            start = p * layout.plane_bytes + layout.cells()[y, x]
            bits = np.unpackbits(data[start : start + layout.channel_bytes], bitorder="little")[:channels]
            assert bits.tolist() == [expected[p][c][y][x] for c in range(channels)]
    assert int(np.unpackbits(data).sum()) == int(np.unpackbits(image).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3))
def test_levels_that_are_packed_unpack_to_themselves(
    channels: int, height: int, width: int, planes: int, border: int
) -> None:
    layout = MapLayout(Shape(channels, height, width), planes, border)
    data, rng = layout.allocate(), np.random.default_rng(channels)
    for _ in range(2):  # The second map replaces the first.
        levels = rng.integers(0, 1 << planes, layout.shape).astype(np.uint8)
        layout.pack(levels, data)
        np.testing.assert_array_equal(layout.unpack(data), levels)
        assert int(np.unpackbits(data).sum()) == int(np.unpackbits(levels).sum())


def test_a_word_may_be_read_from_the_last_byte_of_a_plane() -> None:
    for channels in (1, 8, 9, 33):
        layout = MapLayout(Shape(channels, 3, 5), 2, 1)
        last_window = int(layout.windows(program(Block(1)).layers[0].convolution, 3, 5).max())
        assert last_window + 2 * layout.row_bytes + 3 * layout.channel_bytes + 3 <= layout.plane_bytes
        assert layout.plane_bytes % ALIGNMENT == 0


def test_a_map_beyond_two_gibibytes_is_refused() -> None:
    with pytest.raises(UsageError, match="a map too large"):
        MapLayout(Shape(1024, 16384, 16384), 2, 1).allocate()


def test_the_memory_of_a_map_is_made_once_and_when_it_is_needed() -> None:
    packed = PackedMap(MapLayout(Shape(1024, 16384, 16384), 2, 1))
    with pytest.raises(UsageError, match="a map too large"):
        assert packed.data
    packed = PackedMap(MapLayout(Shape(3, 4, 5), 2, 1))
    assert packed.data is packed.data
    assert packed.layout.origin == packed.layout.cells()[0, 0]
    assert not packed.levels().any()
