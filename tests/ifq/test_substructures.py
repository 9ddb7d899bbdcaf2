"""The division of a network, and the networks that have no integer program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.networks import REGION, Block, ifq_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq.substructures import divide, integer_chain


def kinds(network: Network) -> list[tuple[int, bool, list[str]]]:
    return [(part.start, part.quantized, [layer.kind for layer in part.layers]) for part in divide(network)]


POOLED = ["convolutional", "maxpool", "batchnorm", "activation"]
PLAIN = ["convolutional", "batchnorm", "activation"]


def test_ifq_tinier_yolo_is_eight_quantised_substructures_and_one_other(root: Path) -> None:
    parts = kinds(Network.load(root / "cfg" / "ifq-tinier-yolo-face.cfg"))
    assert [part[2] for part in parts] == [POOLED] * 6 + [PLAIN] * 2 + [["convolutional"]]
    assert [part[1] for part in parts] == [True] * 8 + [False]
    assert [part[0] for part in parts] == [0, 4, 8, 12, 16, 20, 24, 27, 30]


def test_alexnet_is_seven_substructures_the_first_and_the_last_not_quantised(root: Path) -> None:
    network = Network.load(root / "cfg" / "ifq-alexnet.cfg")
    parts = kinds(network)
    assert [part[1] for part in parts] == [False, True, True, True, True, True, False]
    assert [part[2] for part in parts[:3]] == [POOLED, POOLED, PLAIN]
    assert parts[5][2] == ["connected", "batchnorm", "activation"]
    assert parts[6][2] == ["connected", "batchnorm", "activation", "connected"]
    assert network.layers[0].output == (96, 55, 55)
    with pytest.raises(ConversionError, match=r"line 21, \[convolutional\]: not a quantised substructure"):
        integer_chain(network)


def test_batch_norm_is_optional_and_may_be_the_convolutions_own() -> None:
    text = ifq_cfg([Block(4, norm=False), Block(4, pool=(2, 2), norm=False)], 8, 8)
    assert [part[1:] for part in kinds(Network.parse(text))] == [
        (True, ["convolutional", "activation"]),
        (True, ["convolutional", "maxpool", "activation"]),
        (False, ["convolutional"]),
    ]
    own = ifq_cfg([Block(4, norm=False)], 8, 8).replace("binary=1", "binary=1\nbatch_normalize=1", 1)
    assert [part[1] for part in kinds(Network.parse(own))] == [True, False]


def test_layers_between_quantised_substructures_form_one_substructure() -> None:
    text = ifq_cfg([Block(4), Block(6), Block(4)], 16, 16)
    middle = "[convolutional]\nbinary=0\nfilters=6"
    text = text.replace("[convolutional]\nbinary=1\nfilters=6", middle)
    assert [part[1] for part in kinds(Network.parse(text))] == [True, False, True, False]
    dropout = text.replace(middle, "[dropout]\nprobability=.5\n\n" + middle)
    assert kinds(Network.parse(dropout))[1] == (4, False, PLAIN)


def test_layers_for_training_only_are_in_no_substructure() -> None:
    text = ifq_cfg([Block(4)], 16, 16).replace(
        "[convolutional]\nbinary=1\nfilters=6", "[dropout]\n[convolutional]\nbinary=1\nfilters=6"
    )
    assert [part[0] for part in kinds(Network.parse(text + REGION))] == [0, 4]


LAST = "[convolutional]\nbinary=1\nfilters=6\nsize=1\npad=1\nactivation=linear\n"
FIRST = "[convolutional]\nbinary=1\nfilters=4"
REFUSED = {
    "its convolution lacks binary=1": ("binary=1", "binary=0"),
    r"its convolution has activation=leaky \(expected linear\)": ("activation=linear", "activation=leaky"),
    "batch_normalize=1 stands before": (FIRST, FIRST + "\nbatch_normalize=1"),
    "it is not {convolution": (
        "[activation]\nactivation=hwgq\nbits=2\nquantizer=uniform",
        "[activation]\nactivation=relu",
    ),
    "it does not begin with a convolution": (
        "[net]\nwidth=16\nheight=16\nchannels=3\n",
        "[net]\nwidth=16\nheight=16\nchannels=3\n[maxpool]\nsize=2\n",
    ),
    "a window that holds padding alone": ("size=2\nstride=2", "size=2\nstride=2\npadding=3"),
    "the last convolution is quantised": (LAST, ""),
    "line 25, .convolutional.: not a quantised substructure: its convolution lacks": (
        LAST,
        LAST.replace("binary=1", "binary=0"),
    ),
    "the last substructure is not": (LAST, LAST + "[avgpool]\n"),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_networks_without_an_integer_program_are_refused(problem: str) -> None:
    text = ifq_cfg([Block(4, pool=(2, 2))], 16, 16)
    old, new = REFUSED[problem]
    assert old in text
    integer_chain(Network.parse(text))
    with pytest.raises(ConversionError, match=problem) as caught:
        integer_chain(Network.parse(text.replace(old, new, 1)))
    assert str(caught.value).startswith("<cfg>: line ")


def test_float_networks_are_refused(root: Path) -> None:
    with pytest.raises(ConversionError, match="lacks binary=1"):
        integer_chain(Network.load(root / "cfg" / "tinier-yolo-face.cfg"))
    with pytest.raises(ConversionError, match="without a convolution"):
        integer_chain(Network.parse("[net]\nwidth=4\nheight=4\n[dropout]\n"))
