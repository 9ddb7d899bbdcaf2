from __future__ import annotations

from tinier_yolo.darknet.layers import Shape
from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq.fixed_point.chain import fixed_point_chain
from tinier_yolo.quantization.post_training.costs import LayerSize, all_8_bit, costs, float_costs, layer_sizes
from tinier_yolo.quantization.post_training.formats import LayerBits

SIZES = (LayerSize(100, 4, 300, 200, 1000), LayerSize(50, 2, 200, 20, 3000))


def test_memory_and_multiplications_as_in_the_paper() -> None:
    own = costs(SIZES, (LayerBits(4, 10, 3), LayerBits(6, 12, 16)))
    assert own.weights == 100 * 4 + 50 * 6
    assert own.biases == 4 * 10 + 2 * 12
    assert own.maps == 300 * 8 + 200 * 3
    assert own.multiplications == 1000 * 4 * 8 + 3000 * 6 * 3
    assert own.memory == own.weights + own.biases + own.maps


def test_what_they_are_compared_with() -> None:
    eight = all_8_bit(SIZES)
    assert eight.multiplications == 64 * 4000
    assert eight.memory == 8 * (156 + 500)
    assert eight.relative(float_costs(SIZES)) == (0.25, 1 / 16)


def test_sizes_are_those_of_the_input() -> None:
    text = (
        "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n"
        "[maxpool]\nsize=2\nstride=2\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n"
    )
    parts = fixed_point_chain(Network.parse(text))
    assert layer_sizes(parts, Shape(3, 16, 8)) == (
        LayerSize(108, 4, 384, 128, 108 * 128),
        LayerSize(8, 2, 128, 64, 8 * 32),
    )
