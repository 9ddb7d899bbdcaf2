"""What the packers share."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.darknet.layers import MaxPool
from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.kernels.packing import bounds, constants, pooled_cells, sign_bits


def program(block: Block, channels: int = 3, seed: int = 0) -> Program:
    rng = np.random.default_rng(seed)
    return random_program(ifq_cfg([block], 8, 8, channels), rng, random_image(rng, 8, 8, channels))


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


@pytest.mark.parametrize("seed", range(3))
def test_a_sum_of_mismatches_gives_the_accumulator(seed: int) -> None:
    # w ^ x = w + x - 2wx, summed over the planes of levels: a = N * B - S.
    rng = np.random.default_rng(seed)
    layer = program(Block(7), 5, seed).layers[0]
    n = (1 << layer.input_bits) - 1
    w = sign_bits(layer, 7, 5).reshape(7, -1).astype(np.int64)
    levels = rng.integers(0, n + 1, w.shape[1])
    planes = levels[:, None] >> np.arange(layer.input_bits) & 1
    mismatches = ((w[:, :, None] ^ planes) << np.arange(layer.input_bits)).sum((1, 2))
    np.testing.assert_array_equal(constants(layer) - mismatches, (2 * w - 1) @ levels)


def test_bounds_stay_within_what_packers_rely_on() -> None:
    layer = program(Block(40, bits=3), 9).layers[0]
    assert (bounds(layer) >= -layer.limit - 1).all()
    assert (bounds(layer) <= 2 * layer.limit + 1).all()
