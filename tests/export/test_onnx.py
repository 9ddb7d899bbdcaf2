from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tinier_yolo.benchmark.network import random_parameters
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.errors import CfgError
from tinier_yolo.export.onnx import onnx_graph

HEAD = "[net]\nwidth={width}\nheight={height}\nchannels=2\n"


def evaluate(network: Network, parameters: Parameters, x: NDArray[np.float32], **options: bool) -> NDArray[np.float32]:
    model = onnx_graph(network, parameters, **options)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(["map"], {"image": x[None]})
    return np.asarray(output[0])


def random_map(network: Network) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, network.input).astype(np.float32)


@pytest.mark.parametrize(("size", "padding"), [(s, p) for s in (1, 2, 3, 5) for p in (None, 0, 1, 2) if (p or 0) < s])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("width", "height"), [(8, 8), (9, 7)])
def test_maxpool_is_darknets(size: int, stride: int, padding: int | None, width: int, height: int) -> None:
    line = "" if padding is None else f"padding={padding}\n"
    network = Network.parse(
        HEAD.format(width=width, height=height) + f"[maxpool]\nsize={size}\nstride={stride}\n{line}"
    )
    x = random_map(network)
    found = evaluate(network, ({},), x)
    assert found.shape == network.output
    first = -((size - 1 if padding is None else padding) // 2)
    for c, row, column in np.ndindex(found.shape):
        rows = range(max(0, first + row * stride), min(height, first + row * stride + size))
        columns = range(max(0, first + column * stride), min(width, first + column * stride + size))
        assert found[c, row, column] == max(x[c, i, j] for i in rows for j in columns)


@pytest.mark.parametrize("fold_batch_norm", [True, False])
@pytest.mark.parametrize("activation", ["linear", "leaky", "relu", "logistic"])
@pytest.mark.parametrize("batch_normalize", [0, 1])
def test_convolution_norm_and_activation(activation: str, batch_normalize: int, fold_batch_norm: bool) -> None:
    network = Network.parse(
        HEAD.format(width=5, height=4)
        + f"[convolutional]\nfilters=3\nsize=3\nstride=2\npad=1\nactivation={activation}\n"
        + f"batch_normalize={batch_normalize}\n"
    )
    (arrays,) = parameters = random_parameters(network)
    x = random_map(network)
    found = evaluate(network, parameters, x, fold_batch_norm=fold_batch_norm)
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    for f, row, column in np.ndindex(network.output):
        window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        y = float((window * arrays["weights"][f]).sum())
        if batch_normalize:
            y = (y - arrays["means"][f]) / np.sqrt(arrays["variances"][f] + 1e-5) * arrays["scales"][f]
        y += arrays["biases"][f]
        if activation == "logistic":
            y = 1 / (1 + np.exp(-y))
        elif activation != "linear":
            y = max(y, 0.1 * y if activation == "leaky" else 0)
        assert found[f, row, column] == pytest.approx(y, abs=1e-5)


def test_sections_of_their_own_for_norm_and_activation_are_the_same() -> None:
    apart = Network.parse(
        HEAD.format(width=8, height=8)
        + "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=linear\n[batchnorm]\n[dropout]\n"
        + "[activation]\nactivation=leaky\n"
    )
    joined = Network.parse(
        HEAD.format(width=8, height=8)
        + "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=leaky\nbatch_normalize=1\n"
    )
    (arrays,) = random_parameters(joined)
    convolution = {"weights": arrays["weights"], "biases": np.zeros(3, np.float32)}
    norm = {name: array for name, array in arrays.items() if name != "weights"}
    x = random_map(joined)
    expected = evaluate(joined, (arrays,), x)
    np.testing.assert_allclose(evaluate(apart, (convolution, norm, {}, {}), x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cfg", ["tiny-yolo-face.cfg", "tinier-yolo-face.cfg"])
def test_the_shipped_float_networks_have_a_valid_graph(cfg: str, root: Path) -> None:
    network = Network.load(root / "cfg" / cfg).resized(64, 32)
    model = onnx_graph(network, random_parameters(network))
    onnx.checker.check_model(model, full_check=True)
    shape = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
    assert tuple(dimension.dim_value for dimension in shape.dim) == (1, 30, 1, 2)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("[convolutional]\nfilters=2\nbinary=1\nactivation=linear\n", "line 7, .convolutional. binary: a binary layer"),
        ("[activation]\nactivation=hwgq\n", "line 6, .activation. activation: a quantised layer has no float form"),
        ("[maxpool]\nsize=2\nstride=1\npadding=3\n", "line 8, .maxpool. padding: a window that lies in the padding"),
        ("[dropout]\n", "line 5, .dropout.: no float form of a network that computes nothing"),
    ],
)
def test_layers_without_a_float_form_are_named(section: str, problem: str) -> None:
    network = Network.parse(HEAD.format(width=8, height=8) + section)
    with pytest.raises(CfgError, match=problem):
        onnx_graph(network, random_parameters(network))
