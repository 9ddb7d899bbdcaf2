from __future__ import annotations

import math
from pathlib import Path

import pytest

from tinier_yolo.darknet.layers import Convolutional, MaxPool, Region, Shape
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import CfgError

CFGS = ["tiny-yolo-face", "tinier-yolo-face", "ifq-tiny-yolo-face", "ifq-tinier-yolo-face"]
NET = "[net]\nwidth=64\nheight=32\nchannels=3\n"
REGION = "[region]\nanchors=1,2, 3,4\nclasses=1\nnum=2\n"


def convolution(**options: object) -> str:
    return "[convolutional]\nactivation=linear\n" + "".join(f"{key}={value}\n" for key, value in options.items())


@pytest.mark.parametrize(
    ("name", "weights", "macs"),
    [
        ("tiny-yolo-face", 15_758_256, 3_469_080_576),
        ("ifq-tiny-yolo-face", 15_758_256, 3_469_080_576),
        ("tinier-yolo-face", 1_850_200, 532_839_424),
        ("ifq-tinier-yolo-face", 1_850_200, 532_839_424),
    ],
)
def test_the_four_networks_have_the_size_of_the_design(root: Path, name: str, weights: int, macs: int) -> None:
    network = Network.load(root / "cfg" / f"{name}.cfg")
    counted = [math.prod(shape) for layer in network.layers for array, shape in layer.parameters if array == "weights"]
    assert sum(counted) == weights
    assert sum(layer.macs for layer in network.layers) == macs
    assert network.output == Shape(30, 13, 13)
    assert network.stride == 32
    assert network.resized(320, 640).output == Shape(30, 20, 10)


@pytest.mark.parametrize("name", CFGS[2:])
def test_in_an_ifq_network_every_convolution_is_binary_and_pooling_precedes_batch_norm(root: Path, name: str) -> None:
    network = Network.load(root / "cfg" / f"{name}.cfg")
    assert all(layer.binary for layer in network.layers if isinstance(layer, Convolutional))
    kinds = [layer.kind for layer in network.layers]
    assert kinds[:4] == ["convolutional", "maxpool", "batchnorm", "activation"]


def test_shapes_follow_padding_and_stride() -> None:
    network = Network.parse(
        NET
        + convolution(filters=5, size=3, stride=2, pad=1)
        + convolution(filters=4, size=3)
        + "[maxpool]\nsize=2\nstride=1\n"
    )
    shapes = [layer.output for layer in network.layers]
    assert shapes == [Shape(5, 16, 32), Shape(4, 14, 30), Shape(4, 14, 30)]
    pool = network.layers[2]
    assert isinstance(pool, MaxPool)
    assert (pool.size, pool.stride, pool.padding) == (2, 1, 1)


def test_region_reads_its_anchors() -> None:
    region = Network.parse(NET + convolution(filters=12) + REGION).region
    assert isinstance(region, Region)
    assert region.anchors == ((1, 2), (3, 4))
    assert not region.softmax


def test_a_classifier_can_be_described() -> None:
    network = Network.parse(
        NET
        + convolution(filters=6, size=3, pad=1)
        + "[avgpool]\n[dropout]\nprobability=.5\n"
        + "[connected]\noutput=10\nactivation=relu\nbatch_normalize=1\n[softmax]\n[cost]\n"
    )
    assert network.output == Shape(10, 1, 1)
    assert [name for name, _ in network.layers[3].parameters] == ["biases", "weights", "scales", "means", "variances"]
    with pytest.raises(CfgError, match="not a detector"):
        _ = network.region


def test_both_parts_of_cifar10s_training_are_of_one_network(root: Path) -> None:
    first, second = (Network.load(root / "cfg" / f"{name}.cfg") for name in ("cifar10-24", "cifar10"))
    said = [
        [(layer.kind, {key: option.value for key, option in layer.section.options.items()}) for layer in own.layers]
        for own in (first, second)
    ]
    assert said[0] == said[1]
    assert (first.options.width, second.options.width) == (24, 32)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (NET, ["without layers"]),
        ("[net]\nheight=3\n[dropout]", ["[net] width", "1..16384", "found 0"]),
        ("[net]\nwidth=99999\nheight=3\n[dropout]", ["line 2", "[net] width", "99999"]),
        (NET + convolution(filters=11) + REGION, ["line 8", "filters=12", "num 2", "found 11"]),
        (NET + convolution(filters=12, stride=3, size=3, pad=1) + REGION, ["[net] width", "multiple", "k * 3", "64"]),
        (NET + convolution(filters=12) + "[region]\nanchors=1,2,3\nnum=2\nclasses=1\n", ["anchors", "4 numbers", "3"]),
        (NET + convolution(filters=12) + "[region]\nanchors=1,2,3,0\nnum=2\nclasses=1\n", ["anchor", "positive"]),
        (NET + convolution(filters=12) + REGION + "[dropout]", ["after [region]"]),
        (NET + "[softmax]\n[dropout]\n", ["a section after [softmax]", "[softmax] and [cost] last"]),
        (NET + "[cost]\n[softmax]\n", ["a section after [cost]"]),
        (NET + "[softmax]\ngroups=2\n", ["groups", "not supported"]),
        (NET + "[softmax]\ntemperature=2\n", ["temperature", "not supported"]),
        (NET + f"[softmax]\ngroups={10**400}\n", ["groups", "not supported"]),
        (NET + NET, ["second [net]"]),
        (NET + convolution(filters=0), ["filters", "1..16384", "found 0"]),
        (NET + convolution(filters=4, groups=2), ["groups", "expected 1"]),
        (NET + convolution(filters=4, xnor=1), ["xnor=1", "binary=1"]),
        (NET + "[convolutional]\nactivation=leeky\n", ["line 6", "'leeky'", "did you mean 'leaky'"]),
        (NET + "[activation]\nactivation=hwgq\nbits=5\n", ["bits", "1..4", "found 5"]),
        (NET + "[activation]\nactivation=relu\nbits=2\n", ["bits without activation=hwgq"]),
        (NET + "[activation]\nactivation=hwgq\nquantizer=x\n", ["uniform or half-wave"]),
        (NET + 2 * convolution(filters=4, size=31), ["too small"]),
        ("[net]\nwidth=32\nheight=32\npolicy=stepps\n[dropout]", ["did you mean 'steps'"]),
        ("[net]\nwidth=32\nheight=32\npolicy=steps\nsteps=1,2\nscales=.1\n[dropout]", ["steps", "scales"]),
        ("[net]\nwidth=32\nheight=32\nbatch=0\n[dropout]", ["[net] batch", "at least 1"]),
        (
            "[net]\nwidth=32\nheight=32\nlearning_rate=-.1\n[dropout]",
            ["[net] learning_rate", "at least 0", "found -0.1"],
        ),
        ("[net]\nwidth=32\nheight=32\nmomentum=-.9\n[dropout]", ["[net] momentum", "at least 0"]),
        ("[net]\nwidth=32\nheight=32\npolicy=step\nstep=0\n[dropout]", ["[net] step", "at least 1"]),
        (NET + convolution(filters=12) + REGION + "jitter=1\n", ["jitter", "0 <= jitter < 1", "found 1"]),
    ],
)
def test_networks_that_do_not_fit_say_where(text: str, parts: list[str]) -> None:
    with pytest.raises(CfgError) as caught:
        Network.parse(text, "x.cfg")
    for part in ["x.cfg", *parts]:
        assert part in str(caught.value), caught.value
    assert "\n" not in str(caught.value)


def test_the_classes_of_a_classifier() -> None:
    text = NET + convolution(filters=6) + "{}[softmax]\n[cost]\n"
    network = Network.parse(text.format("[avgpool]\n"))
    assert network.is_classifier
    assert network.classes == 6
    with pytest.raises(CfgError, match=r"the map of a classifier has one cell .*\[avgpool\] or \[connected\] before"):
        _ = Network.parse(text.format("")).classes
    detector = Network.parse(NET + convolution(filters=12) + REGION)
    assert not detector.is_classifier
    assert detector.classes == 1


def test_a_connected_layer_fixes_the_size() -> None:
    network = Network.parse(NET + "[connected]\noutput=6\n[softmax]\n")
    width, height = network.options.width, network.options.height
    assert network.resized(width, height) is network
    with pytest.raises(CfgError, match=r"\[connected\] cannot change"):
        network.resized(width + 1, height)
    Network.parse(NET + "[avgpool]\n[softmax]\n").resized(width + 1, height)


def test_resizing_checks_the_stride(root: Path) -> None:
    network = Network.load(root / "cfg" / "tinier-yolo-face.cfg")
    assert network.resized(416, 416) is network
    with pytest.raises(CfgError, match=r"k \* 32, found 400"):
        network.resized(400, 416)
