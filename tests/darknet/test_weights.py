from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, count_values, load_weights, read_header, read_weights, save_weights
from tinier_yolo.errors import WeightsError

TEXT = """[net]
width=32
height=32
[convolutional]
batch_normalize=1
filters=2
size=3
activation=leaky
[batchnorm]
[connected]
output=3
batch_normalize=1
activation=linear
"""


@pytest.fixture
def network() -> Network:
    return Network.parse(TEXT, "net.cfg")


def draw(network: Network, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    return tuple(
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in layer.parameters}
        for layer in network.layers
    )


def test_weights_come_back_as_they_were_written(network: Network, tmp_path: Path) -> None:
    parameters = draw(network)
    save_weights(tmp_path / "a.weights", network, parameters, images_seen=1 << 40)
    data = (tmp_path / "a.weights").read_bytes()
    assert len(data) == 20 + 4 * count_values(network)
    assert struct.unpack("<3iQ", data[:20]) == (0, 2, 0, 1 << 40)
    for arrays, again in zip(parameters, load_weights(tmp_path / "a.weights", network), strict=True):
        assert list(arrays) == list(again)
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], again[name])


def test_the_order_is_darknets(network: Network, tmp_path: Path) -> None:
    values = np.arange(count_values(network), dtype="<f4")
    (tmp_path / "a.weights").write_bytes(struct.pack("<3iQ", 0, 2, 0, 0) + values.tobytes())
    convolution, norm, connected = load_weights(tmp_path / "a.weights", network)
    assert [convolution[name].flat[0] for name in ("biases", "scales", "means", "variances", "weights")] == [
        0,
        2,
        4,
        6,
        8,
    ]
    assert [norm[name].flat[0] for name in ("biases", "scales", "means", "variances")] == [62, 64, 66, 68]
    assert connected["biases"].flat[0] == 70
    assert connected["weights"].flat[0] == 73
    assert connected["variances"].flat[-1] == len(values) - 1


def test_both_headers(network: Network, tmp_path: Path) -> None:
    body = np.zeros(count_values(network), "<f4").tobytes()
    (tmp_path / "old.weights").write_bytes(struct.pack("<3ii", 0, 1, 0, 7) + body)
    assert len(load_weights(tmp_path / "old.weights", network)) == 3
    assert read_header(struct.pack("<3ii", 0, 1, 0, 7), "x").images_seen == 7
    assert read_header(struct.pack("<3iQ", 0, 2, 5, 7), "x").size == 20
    # An old header before a body that a new one would fit, and the other way round.
    (tmp_path / "a.weights").write_bytes(struct.pack("<3iQ", 0, 1, 0, 7) + body)
    with pytest.raises(WeightsError, match=r"version 0\.1 should have 16 bytes, but one of 20 would fit"):
        load_weights(tmp_path / "a.weights", network)
    (tmp_path / "b.weights").write_bytes(struct.pack("<3ii", 0, 2, 0, 7) + body)
    with pytest.raises(WeightsError, match="should have 20 bytes, but one of 16 would fit"):
        load_weights(tmp_path / "b.weights", network)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: b"", "too short for a header"),
        (lambda data: data[:14], "too short for its header"),
        (lambda data: data[:-1], "1 too few"),
        (lambda data: data[:-400], "400 too few"),
        (lambda data: data + b"\0" * 8, "8 too many"),
        (lambda data: b"GIF89a" + data[6:], "not a Darknet .weights file"),
        (lambda data: data[:24] + b"\xff\xff\xff\xff" + data[28:], "layer 0 biases, byte 20"),
    ],
)
def test_every_byte_is_accounted_for(network: Network, tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "a.weights"
    save_weights(path, network, draw(network))
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(WeightsError, match=message):
        load_weights(path, network)


def test_a_missing_file_and_a_wrong_array(network: Network, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.weights: cannot read the weights"):
        load_weights(tmp_path / "none.weights", network)
    parameters = draw(network)
    parameters[0]["scales"] = np.zeros(5, np.float32)
    with pytest.raises(WeightsError, match=r"layer 0 \[convolutional\] scales: wrong array"):
        save_weights(tmp_path / "a.weights", network, parameters)
    assert list(tmp_path.iterdir()) == []


def test_no_more_is_read_than_a_network_can_have(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "large.weights"
    with path.open("wb") as file:
        file.truncate(1 << 36)  # 64 GiB, of which nothing lies on the disk
    with pytest.raises(WeightsError, match=r"large\.weights: too large for net\.cfg"):
        load_weights(path, network)
    with pytest.raises(WeightsError, match="too large"):
        read_weights(path)
