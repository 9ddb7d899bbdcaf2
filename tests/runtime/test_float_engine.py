from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tinier_yolo.benchmark.network import random_parameters
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.errors import UsageError, WeightsError
from tinier_yolo.runtime.float_engine import FloatEngine


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


def last_map_of_opencv(cfg: Path, weights: Path, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The map of the last convolution as OpenCV's own Darknet importer computes it."""
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    net.setInput(cv2.dnn.blobFromImage(image, 1 / 255))
    name = [name for name in net.getLayerNames() if name.startswith("conv")][-1]
    return np.asarray(net.forward(name)[0], np.float32)


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromDarknet"), reason="OpenCV 5 has no Darknet importer")
class TestAgainstOpenCVsImporter:
    def outputs(self, root: Path, tmp_path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        cfg, weights = root / "cfg" / "tinier-yolo-face.cfg", tmp_path / "random.weights"
        network = Network.load(cfg)
        parameters = random_parameters(network)
        save_weights(weights, network, parameters)
        image = noise(416, 416)
        return FloatEngine(network, parameters).run(image), last_map_of_opencv(cfg, weights, image)

    def test_the_map_is_the_same(self, root: Path, tmp_path: Path) -> None:
        ours, theirs = self.outputs(root, tmp_path)
        assert ours.shape == theirs.shape == (30, 13, 13)
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()

    def test_what_differs_is_the_epsilon(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # OpenCV's importer puts 1e-6 under the root, Darknet 1e-5; with the same epsilon nothing but rounding is left.
        monkeypatch.setattr("tinier_yolo.export.onnx.BATCH_NORM_EPSILON", 1e-6)
        ours, theirs = self.outputs(root, tmp_path)
        assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 32)])
def test_the_map_has_the_shape_of_the_network(width: int, height: int, root: Path) -> None:
    network = Network.load(root / "cfg" / "tinier-yolo-face.cfg").resized(width, height)
    output = FloatEngine(network, random_parameters(network)).run(noise(height, width))
    assert output.shape == network.output
    assert output.dtype == np.float32


def test_the_input_is_rgb_in_0_to_1() -> None:
    network = Network.parse(
        "[net]\nwidth=2\nheight=1\nchannels=3\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n"
    )
    identity = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    engine = FloatEngine(network, ({"biases": np.zeros(3, np.float32), "weights": identity},))
    image = np.array([[[255, 51, 0], [0, 102, 255]]], np.uint8)
    np.testing.assert_allclose(engine.run(image), [[[1, 0]], [[0.2, 0.4]], [[0, 1]]], atol=1e-6)


def test_an_image_of_another_size_is_an_error(root: Path) -> None:
    network = Network.load(root / "cfg" / "tinier-yolo-face.cfg").resized(64, 32)
    with pytest.raises(UsageError, match="not the network's input"):
        FloatEngine(network, random_parameters(network)).run(noise(64, 32))


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [(0, "weights", np.nan), (2, "variances", -1), (14, "biases", np.inf)],
)
def test_weights_that_give_no_numbers_are_an_error(layer: int, name: str, value: float, root: Path) -> None:
    network = Network.load(root / "cfg" / "tinier-yolo-face.cfg").resized(32, 32)
    parameters = random_parameters(network)
    parameters[layer][name][:] = value
    with pytest.raises(WeightsError, match="not finite"):
        FloatEngine(network, parameters).run(noise(32, 32))
