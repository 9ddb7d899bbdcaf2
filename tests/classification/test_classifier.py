from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_image, random_parameters
from tinier_yolo.classification.classifier import Classifier, softmax
from tinier_yolo.classification.crop import centre_crop
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.errors import TinierYoloError

NET = "[net]\nwidth=8\nheight=8\n"
CONVOLUTION = "[convolutional]\nbatch_normalize=1\nfilters=5\nsize=3\npad=1\nactivation=relu\n"
FLOAT = (
    NET + CONVOLUTION + "[maxpool]\nsize=2\nstride=2\n[dropout]\n"
    "[connected]\nbatch_normalize=1\noutput=7\nactivation=leaky\n[connected]\noutput=4\nactivation=linear\n[softmax]\n"
)
MEAN = NET + CONVOLUTION + "[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[avgpool]\n[softmax]\n[cost]\n"


def naive_logits(network: Network, parameters: Parameters, image: np.ndarray) -> np.ndarray:
    """The float network, a value at a time; of the kinds of layers in FLOAT and MEAN."""
    values = image.transpose(2, 0, 1) / 255
    for layer, arrays in zip(network.layers, parameters, strict=True):
        a = {name: array.astype(np.float64) for name, array in arrays.items()}
        if layer.kind == "maxpool":
            channels, height, width = values.shape
            values = values.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
        elif layer.kind == "avgpool":
            values = values.mean(axis=(1, 2))[:, None, None]
        elif layer.kind == "connected":
            values = (a["weights"] @ values.ravel())[:, None, None]
        elif layer.kind == "convolutional":
            size = a["weights"].shape[2]
            padded = np.pad(values, ((0, 0), *[(size // 2, size // 2)] * 2))
            out = np.empty((len(a["weights"]), *values.shape[1:]))
            for f, y, x in np.ndindex(out.shape):
                out[f, y, x] = (a["weights"][f] * padded[:, y : y + size, x : x + size]).sum()
            values = out
        if layer.kind in ("connected", "convolutional"):
            columns = {name: array[:, None, None] for name, array in a.items() if name != "weights"}
            if layer.batch_normalize:  # type: ignore[attr-defined]
                values = (values - columns["means"]) / np.sqrt(columns["variances"] + 1e-5) * columns["scales"]
            values = values + columns["biases"]
            slope = {"linear": 1.0, "relu": 0.0, "leaky": 0.1}[layer.activation]  # type: ignore[attr-defined]
            values = np.where(values < 0, slope * values, values)
    return values.ravel()


@pytest.mark.parametrize("text", [FLOAT, MEAN], ids=["connected", "mean"])
def test_a_float_classifier_says_what_its_layers_say(tmp_path: Path, text: str) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "a.cfg").write_text(text)
    network = Network.load(tmp_path / "a.cfg")
    parameters = random_parameters(network, rng)
    save_weights(tmp_path / "a.weights", network, parameters)
    classifier = Classifier.load(tmp_path / "a.weights", tmp_path / "a.cfg", ("a", "b", "c", "d"))
    for _ in range(5):
        image = random_image(rng, 8, 8)
        expected = naive_logits(network, parameters, image)
        np.testing.assert_allclose(classifier.logits(image), expected, rtol=1e-4, atol=1e-4)
        found = classifier.classify(image, 3)
        assert [one.class_id for one in found] == np.argsort(-expected)[:3].tolist()
        assert found[0].name == "abcd"[found[0].class_id]
        assert found[0].score == pytest.approx(np.exp(expected).max() / np.exp(expected).sum(), rel=1e-3)


@pytest.mark.parametrize(
    ("text", "names", "problem"),
    [
        (FLOAT, ("a",), "names and the cfg's classes differ (expected 4, found 1)"),
        (FLOAT.replace("[softmax]", ""), None, "line 18, [connected]: not a classifier"),
        (MEAN.replace("[avgpool]", ""), None, "the map of a classifier has one cell"),
        (FLOAT.replace("width=8", "width=8\nchannels=1"), None, "not a network for RGB images"),
    ],
)
def test_what_is_no_classifier(tmp_path: Path, text: str, names: tuple[str, ...] | None, problem: str) -> None:
    (tmp_path / "a.cfg").write_text(text)
    network = Network.load(tmp_path / "a.cfg")
    save_weights(tmp_path / "a.weights", network, random_parameters(network, np.random.default_rng(0)))
    with pytest.raises(TinierYoloError) as caught:
        Classifier.load(tmp_path / "a.weights", tmp_path / "a.cfg", names)
    assert problem in str(caught.value)


def test_softmax_of_large_numbers() -> None:
    assert softmax(np.array([1000.0, 1000.0, -1000.0])).tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (8, 20)])
def test_the_middle_of_an_image_is_taken(size: tuple[int, int]) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    side = min(size)
    top, left = (height - side) // 2, (width - side) // 2
    image[top : top + side, left : left + side] = 255
    assert (centre_crop(image, (8, 8)) == 255).all()
    assert centre_crop(image, (8, 8)).shape == (8, 8, 3)


def test_an_image_of_the_inputs_size_is_left_as_it_is() -> None:
    image = random_image(np.random.default_rng(0), 8, 6)
    assert centre_crop(image, (6, 8)) is image
