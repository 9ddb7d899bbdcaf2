from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.errors import WeightsError
from tinier_yolo.training.beginning import load_start
from tinier_yolo.training.model import DarknetModel


def drawn_for(network: Network) -> Parameters:
    return DarknetModel(network).parameters_of_layers()


def counted(network: Network, first: int = 0) -> Parameters:
    """Arrays in which no two values are the same."""
    made = []
    for layer in network.layers:
        arrays = {}
        for name, shape in layer.parameters:
            arrays[name] = np.arange(first, first + np.prod(shape), dtype=np.float32).reshape(shape)
            first += int(np.prod(shape))
        made.append(arrays)
    return tuple(made)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("twin", [False, True])
def test_the_beginning_of_a_file_is_taken_and_the_rest_stays_random(tmp_path: Path, binary: bool, twin: bool) -> None:
    network = Network.parse(tiny_cfg(binary), "net.cfg")
    whole = Network.parse(tiny_cfg(binary and not twin), "whole.cfg")
    arrays, drawn = counted(whole), drawn_for(network)
    save_weights(tmp_path / "whole.weights", whole, arrays)
    data, end = (tmp_path / "whole.weights").read_bytes(), 20
    lengths = [sum(array.nbytes for array in own.values()) for own in arrays if own]
    for taken, length in enumerate(lengths[:-1], start=1):
        end += length
        (tmp_path / "net.conv").write_bytes(data[:end])
        initial = load_start(tmp_path / "net.conv", network, drawn)
        assert (initial.taken, initial.layers) == (taken, len(lengths))
        pairs = zip(drawn, initial.parameters, strict=True)
        weights = [(old["weights"], new["weights"]) for old, new in pairs if "weights" in old]
        read = [own["weights"] for own in arrays if "weights" in own]
        for (random, found), from_file in zip(weights, read, strict=True):
            assert np.array_equal(found, from_file) or np.array_equal(found, random)
        assert np.array_equal(weights[0][1], read[0])
        assert np.array_equal(weights[-1][1], weights[-1][0])


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("classes", [2, 20])
def test_a_file_for_other_classes_gives_all_but_the_last_convolution(
    tmp_path: Path, binary: bool, classes: int
) -> None:
    network = Network.parse(tiny_cfg(True), "net.cfg")
    text = tiny_cfg(binary).replace("filters=12\nsize=1", f"filters={2 * (5 + classes)}\nsize=1")
    other = Network.parse(text.replace("classes=1", f"classes={classes}"), "other.cfg")
    save_weights(tmp_path / "other.weights", other, counted(other))
    drawn = drawn_for(network)
    initial = load_start(tmp_path / "other.weights", network, drawn)
    assert initial.taken == initial.layers - 1
    np.testing.assert_array_equal(initial.parameters[-2]["weights"], drawn[-2]["weights"])
    np.testing.assert_array_equal(initial.parameters[0]["weights"], counted(other)[0]["weights"])


def test_a_classifier_for_other_classes_gives_all_but_its_last_layer(tmp_path: Path) -> None:
    text = "[net]\nwidth=4\nheight=4\n[connected]\noutput=5\n[connected]\noutput={}\nactivation=linear\n[softmax]\n"
    network, other = (Network.parse(text.format(classes)) for classes in (3, 10))
    save_weights(tmp_path / "other.weights", other, counted(other))
    drawn = drawn_for(network)
    initial = load_start(tmp_path / "other.weights", network, drawn)
    assert (initial.taken, initial.layers) == (1, 2)
    np.testing.assert_array_equal(initial.parameters[0]["weights"], counted(other)[0]["weights"])
    np.testing.assert_array_equal(initial.parameters[1]["weights"], drawn[1]["weights"])


def test_a_file_cut_inside_a_layer_is_refused(tmp_path: Path) -> None:
    network = Network.parse(tiny_cfg(False), "net.cfg")
    save_weights(tmp_path / "a.weights", network, counted(network))
    data = (tmp_path / "a.weights").read_bytes()
    for length in (20, 24, 1000, len(data) - 1, len(data) - 4, len(data) + 4):
        (tmp_path / "b.weights").write_bytes((data + b"0000")[:length])
        with pytest.raises(WeightsError, match=r"does not belong to net\.cfg|byte 0: the header"):
            load_start(tmp_path / "b.weights", network, drawn_for(network))
