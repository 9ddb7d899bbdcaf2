"""The layouts, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import naive
from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.darknet.layers import MaxPool, Shape
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.kernels.image.kernels import pack_image
from tinier_yolo.runtime.kernels.packing import (
    ALIGNMENT,
    MapLayout,
    PackedImageLayer,
    PackedThresholds,
    PackedWeights,
    aligned,
    lanes,
    pooled_cells,
)


def program(block: Block, channels: int = 3, seed: int = 0) -> Program:
    rng = np.random.default_rng(seed)
    return random_program(ifq_cfg([block], 8, 8, channels), rng, random_image(rng, 8, 8, channels))


def test_arrays_begin_on_a_cache_line() -> None:
    for shape in ((1,), (3, 5), (1000,)):
        array = aligned(shape, np.int32)
        assert array.shape == shape
        assert array.ctypes.data % ALIGNMENT == 0
        assert not array.any()


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 3))
def test_a_packed_image_unpacks_to_itself(channels: int, height: int, width: int, planes: int, border: int) -> None:
    layout = MapLayout(Shape(channels, height, width), 8, border)
    image = random_image(np.random.default_rng(planes), height, width, channels)
    data = layout.allocate()
    pack_image(image, data, layout.plane_bytes, layout.cells().ravel(), 0, height)
    np.testing.assert_array_equal(layout.unpack(data), image.transpose(2, 0, 1))
    # Plane p, cell by cell, is bit p of the levels; nothing is set outside the cells.
    expected = naive.bit_planes(image.transpose(2, 0, 1).tolist(), 8)
    for p in range(8):
        for y, x in np.ndindex(height, width):
            start = p * layout.plane_bytes + layout.cells()[y, x]
            bits = np.unpackbits(data[start : start + layout.channel_bytes], bitorder="little")[:channels]
            assert bits.tolist() == [expected[p][c][y][x] for c in range(channels)]
    assert int(np.unpackbits(data).sum()) == int(np.unpackbits(image).sum())


def test_a_word_may_be_read_from_the_last_byte_of_a_plane() -> None:
    for channels in (1, 8, 9, 33):
        layout = MapLayout(Shape(channels, 3, 5), 2, 1)
        last_window = int(layout.windows(program(Block(1)).layers[0].convolution, 3, 5).max())
        assert last_window + 2 * layout.row_bytes + 3 * layout.channel_bytes + 3 <= layout.plane_bytes
        assert layout.plane_bytes % ALIGNMENT == 0


def test_a_map_beyond_two_gibibytes_is_refused() -> None:
    with pytest.raises(UsageError, match="a map too large"):
        MapLayout(Shape(1024, 16384, 16384), 2, 1).allocate()


@pytest.mark.parametrize("channels", [3, 8, 13, 32, 45])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_weights_and_taps_reach_each_bit_once(channels: int, size: int) -> None:
    layer = program(Block(18, size=size, padding=size // 2), channels).layers[0]
    packed = PackedWeights.of(layer)
    channel_bytes, row_bytes = -(-channels // 8), 1000
    taps = packed.taps(row_bytes)
    words = packed.words.view(np.uint32).reshape(2, -1, 16)
    assert words.shape[1] == len(taps)
    seen = np.zeros((18, channels, size, size), int)
    for index, tap in enumerate(taps.tolist()):
        row, start = divmod(tap, row_bytes)
        for bit in range(32):
            column, channel = divmod(start * 8 + bit, channel_bytes * 8)
            counted = index < packed.whole or packed.mask >> bit & 1
            assert bool(counted) == (column < size)
            for f in range(32):
                value = words[f // 16, index, f % 16] >> bit & 1
                if f < 18 and column < size and channel < channels:
                    assert value == (layer.signs[f, channel, row, column] > 0)
                    seen[f, channel, row, column] += 1
                else:
                    assert value == 0
    assert (seen == 1).all()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_comparisons_toggle_to_the_level(bits: int) -> None:
    layer = program(Block(21, bits=bits)).layers[0]
    packed = PackedThresholds.of(layer)
    highest = (1 << bits) - 1
    for level in range(highest + 1):
        word = 0
        for i in range(highest):
            word ^= int(packed.toggles[i]) if i < level else 0
        assert [word >> 16 * p & 1 for p in range(4)] == [level >> p & 1 for p in range(4)]
    for f, flip in enumerate(layer.flips.tolist()):
        mask = int(packed.flips[f // 16]) >> f % 16
        assert [mask >> 16 * p & 1 for p in range(4)] == [int(flip and p < bits) for p in range(4)]
        assert packed.flip_bytes[f // 8] >> f % 8 & 1 == flip
    assert packed.bounds.reshape(2, highest, 16)[1, :, 5:].max() == np.iinfo(np.int32).min


def test_lanes_without_a_filter_hold_the_filler() -> None:
    values = np.arange(40, dtype=np.int32).reshape(20, 2)
    packed = lanes(values, -7).reshape(2, 2, 16)
    assert packed[0, 1].tolist() == values[:16, 1].tolist()
    assert packed[1, 0].tolist() == values[16:, 0].tolist() + [-7] * 12


def test_patterns_and_signs_are_the_weights() -> None:
    layer = program(Block(30, pool=(2, 2))).layers[0]
    packed = PackedImageLayer.of(layer)
    patterns = [(1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1)]
    for f in range(30):
        for t in range(9):
            term = int(packed.terms[f, t])
            sign, term = (-1, ~term) if term < 0 else (1, term)
            place, pattern = divmod(term // 32, 4)
            assert (place, term % 32) == (t, 0)
            row, channel = divmod(t, 3)
            assert layer.signs[f, channel, row].tolist() == [sign * s for s in patterns[pattern]]
    np.testing.assert_array_equal(packed.thresholds, layer.thresholds)


def test_which_first_layers_are_for_the_image_kernel() -> None:
    image = Shape(3, 32, 64)
    fitting = Block(8, pool=(2, 2))
    assert PackedImageLayer.fits(program(fitting).layers[0], image)
    for block in (
        Block(8),
        Block(8, pool=(2, 1)),
        Block(8, 1, 1, 0, (2, 2)),
        Block(8, 3, 2, 1, (2, 2)),
        Block(8, 3, 1, 0, (2, 2)),
    ):
        assert not PackedImageLayer.fits(program(block).layers[0], image)
    for other in (Shape(3, 24, 64), Shape(3, 32, 48), Shape(4, 32, 64)):
        assert not PackedImageLayer.fits(program(fitting).layers[0], other)


@pytest.mark.parametrize("pool", [(2, 2), (2, 1), (3, 2), (2, 2, 0), (3, 1, 3)])
def test_pooled_cells_are_those_of_the_window_that_lie_inside(pool: tuple[int, ...]) -> None:
    for height, width in ((5, 6), (4, 7)):
        keys = "".join(f"{k}={v}\n" for k, v in zip(("size", "stride", "padding"), pool, strict=False))
        (layer,) = Network.parse(f"[net]\nwidth={width}\nheight={height}\nchannels=1\n[maxpool]\n{keys}").layers
        assert isinstance(layer, MaxPool)
        cells = pooled_cells(layer, height, width, layer.output)
        for index, found in enumerate(cells.tolist()):
            top, left = (c * layer.stride - layer.padding // 2 for c in divmod(index, layer.output.width))
            rows, columns = range(top, top + layer.size), range(left, left + layer.size)
            expected = {r * width + c for r in rows for c in columns if 0 <= r < height and 0 <= c < width}
            assert set(found) == expected
