"""The specification itself against plain Python and against float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests import naive
from tests.networks import Block, ifq_cfg, random_image, random_parameters
from tinier_yolo.darknet.layers import MaxPool
from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq import reference
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.float64 import evaluate


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 0), (3, 2, 1), (5, 3, 4), (2, 2, 1)]
)
def test_convolution(size: int, stride: int, padding: int) -> None:
    rng = np.random.default_rng(size)
    levels = rng.integers(0, 256, (4, 7, 6)).astype(np.uint8)
    signs = rng.choice(np.array([-1, 1], np.int8), (5, 4, size, size))
    found = reference.convolve(levels, signs, stride, padding)
    assert found.dtype == np.int32
    assert found.tolist() == naive.convolve(levels.tolist(), signs.tolist(), stride, padding)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 1), (2, 1, 1), (2, 2, 0), (3, 2, 2), (3, 1, 2), (2, 2, 2)]
)
def test_max_pool(size: int, stride: int, padding: int) -> None:
    text = f"[net]\nwidth=7\nheight=6\nchannels=3\n[maxpool]\nsize={size}\nstride={stride}\npadding={padding}\n"
    (pool,) = Network.parse(text).layers
    assert isinstance(pool, MaxPool)
    sums = np.random.default_rng(size).integers(-9, 0, (3, 6, 7)).astype(np.int32)
    found = reference.max_pool(sums, pool)
    assert found.shape == pool.output
    assert found.tolist() == naive.max_pool(sums.tolist(), size, stride, padding)


def test_the_stride_one_pool_pads_at_the_right_and_the_bottom() -> None:
    (pool,) = Network.parse("[net]\nwidth=2\nheight=2\nchannels=1\n[maxpool]\nsize=2\nstride=1\n").layers
    assert isinstance(pool, MaxPool)
    assert reference.max_pool(np.array([[[-4, -3], [-2, -1]]], np.int32), pool).tolist() == [[[-1, -1], [-1, -1]]]
    assert reference.max_pool(np.array([[[-1, -2], [-3, -4]]], np.int32), pool).tolist() == [[[-1, -2], [-3, -4]]]


def test_levels_at_just_below_and_just_above_each_threshold() -> None:
    thresholds = np.array([[-5, 0, 7], [-5, 0, 7]], np.int32)
    flips = np.array([False, True])
    sums = np.array([-6, -5, -4, -1, 0, 1, 6, 7, 8], np.int32)
    levels = reference.quantize(np.stack([sums, sums])[:, None], thresholds, flips)
    expected = [0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert levels[:, 0].tolist() == [expected, [3 - level for level in expected]]
    assert levels.tolist() == naive.quantize([[sums.tolist()]] * 2, thresholds.tolist(), flips.tolist())


def test_a_converted_network_gives_the_float64_levels() -> None:
    rng = np.random.default_rng(0)
    text = ifq_cfg([Block(30, pool=(2, 2)), Block(14, pool=(2, 1), bits=3), Block(8, bits=1)], 24, 16)
    network = Network.parse(text + "[region]\nanchors=1,1\nnum=1\nclasses=1\n")
    parameters = random_parameters(network, rng)
    image = random_image(rng, 16, 24)
    maps, _ = reference.run_maps(convert(network, parameters).program, image)
    for found, expected in zip(maps, evaluate(network, parameters, image)[0], strict=True):
        np.testing.assert_array_equal(found, expected)
