from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.errors import WeightsError
from tinier_yolo.training.initialize import load_initial
from tinier_yolo.training.model import DarknetModel


def test_the_float_twin_gives_weights_and_norms(tmp_path: Path) -> None:
    twin, network = Network.parse(tiny_cfg(False), "float.cfg"), Network.parse(tiny_cfg(True), "ifq.cfg")
    rng = np.random.default_rng(0)
    drawn = tuple(
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in layer.parameters} for layer in twin.layers
    )
    save_weights(tmp_path / "float.weights", twin, drawn)
    parameters = load_initial(tmp_path / "float.weights", network)
    kinds = [layer.kind for layer in network.layers]
    first_norm = kinds.index("batchnorm")
    np.testing.assert_array_equal(parameters[0]["weights"], drawn[0]["weights"])
    np.testing.assert_array_equal(parameters[first_norm]["means"], drawn[0]["means"])
    size = np.abs(drawn[0]["scales"]).mean()
    np.testing.assert_allclose(parameters[first_norm]["scales"], drawn[0]["scales"] / size, rtol=1e-6)
    np.testing.assert_array_equal(parameters[0]["biases"], 0)
    last = len(kinds) - 2
    np.testing.assert_array_equal(parameters[last]["biases"], drawn[len(twin.layers) - 2]["biases"])
    DarknetModel(network).load_parameters(parameters)


def test_a_connected_layer_keeps_its_order_in_the_twins_file(tmp_path: Path) -> None:
    head, end = "[net]\nwidth=4\nheight=4\n", "[connected]\noutput=3\nactivation=linear\n[softmax]\n"
    twin = Network.parse(head + "[connected]\nbatch_normalize=1\noutput=5\nactivation=relu\n" + end)
    text = "[connected]\nbinary=1\noutput=5\nactivation=linear\n[batchnorm]\n[activation]\nactivation=hwgq\nbits=2\n"
    network = Network.parse(head + text + end)
    rng = np.random.default_rng(0)
    drawn = tuple(
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in layer.parameters} for layer in twin.layers
    )
    save_weights(tmp_path / "float.weights", twin, drawn)
    parameters = load_initial(tmp_path / "float.weights", network)
    for name in ("means", "variances"):
        np.testing.assert_array_equal(parameters[1][name], drawn[0][name])
    np.testing.assert_array_equal(parameters[0]["weights"], drawn[0]["weights"])
    np.testing.assert_array_equal(parameters[3]["weights"], drawn[1]["weights"])


def test_its_own_weights_are_taken_as_they_are(tmp_path: Path) -> None:
    network = Network.parse(tiny_cfg(True), "ifq.cfg")
    parameters = DarknetModel(network).parameters_of_layers()
    save_weights(tmp_path / "a.weights", network, parameters)
    for arrays, again in zip(parameters, load_initial(tmp_path / "a.weights", network), strict=True):
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], again[name])


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    other = Network.parse(tiny_cfg(False).replace("filters=16", "filters=20"), "other.cfg")
    save_weights(tmp_path / "a.weights", other, DarknetModel(other).parameters_of_layers())
    with pytest.raises(WeightsError, match=r"does not belong to ifq\.cfg"):
        load_initial(tmp_path / "a.weights", Network.parse(tiny_cfg(True), "ifq.cfg"))
