"""The layout of the popcount kernels, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import Block
from tests.runtime.kernels.test_packing import program
from tinier_yolo.runtime.kernels.popcount.layer import PackedThresholds, PackedWeights, lanes


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
    assert packed.bounds.reshape(2, highest, 16)[1, :, 5:].max() == np.iinfo(np.int32).min


def test_lanes_without_a_filter_hold_the_filler() -> None:
    values = np.arange(40, dtype=np.int32).reshape(20, 2)
    packed = lanes(values, -7).reshape(2, 2, 16)
    assert packed[0, 1].tolist() == values[:16, 1].tolist()
    assert packed[1, 0].tolist() == values[16:, 0].tolist() + [-7] * 12
