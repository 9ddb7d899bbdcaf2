from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import CfgError
from tinier_yolo.export.onnx import onnx_graph
from tinier_yolo.quantization.float64 import evaluate
from tinier_yolo.runtime.float_engine import FloatEngine
from tinier_yolo.training.model import DarknetModel


def randomised(network: Network, seed: int = 0) -> DarknetModel:
    """A model whose batch-norm arrays are nothing special: scales of both signs."""
    torch.manual_seed(seed)
    model = DarknetModel(network).eval()
    with torch.no_grad():
        for arrays in model._arrays():
            for name in ("biases", "scales", "means"):
                if name in arrays and "scales" in arrays:
                    arrays[name].normal_()
            if "variances" in arrays:
                arrays["variances"].uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("name", ["tinier-yolo-face", "ifq-tinier-yolo-face"])
def test_the_networks_of_cfg_become_modules(root: Path, name: str) -> None:
    model = DarknetModel(Network.load(root / "cfg" / f"{name}.cfg")).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 96, 64, dtype=torch.uint8)).shape == (2, 30, 3, 2)


@pytest.mark.parametrize("binary", [False, True])
def test_parameters_go_in_and_out_unchanged(binary: bool) -> None:
    network = Network.parse(tiny_cfg(binary))
    model = randomised(network)
    again = DarknetModel(network).eval()
    again.load_parameters(model.parameters_of_layers())
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(model(image), again(image))


def test_a_classifier_becomes_a_module() -> None:
    text = (
        "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n[dropout]\n[avgpool]\n"
        "[connected]\noutput=5\nactivation=linear\nbatch_normalize=1\n[softmax]\n[cost]\n"
    )
    with torch.no_grad():
        output = DarknetModel(Network.parse(text)).eval()(torch.zeros(2, 3, 8, 8))
    assert output.shape == (2, 5, 1, 1)


def test_a_binary_network_agrees_with_its_float64_evaluation() -> None:
    network = Network.parse(tiny_cfg(binary=True))
    model = randomised(network)
    image = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    with torch.no_grad():
        maps = model.maps(torch.from_numpy(image).permute(2, 0, 1)[None])
    exact_maps, exact_output = evaluate(network, model.parameters_of_layers(), image)
    levels = [found[0].numpy() for found, layer in zip(maps, network.layers, strict=True) if layer.kind == "activation"]
    assert len(levels) == len(exact_maps) == 4
    for found, expected in zip(levels, exact_maps, strict=True):
        assert set(np.unique(found)) <= {0, 1, 2, 3}
        assert (found != expected).mean() < 1e-3  # float32 may fall on the other side of a threshold
    np.testing.assert_allclose(maps[-1][0].numpy(), exact_output, atol=2e-4)


def test_binary_convolutions_of_levels_are_exact_in_float32() -> None:
    text = "[net]\nwidth=32\nheight=32\n[convolutional]\nbinary=1\nfilters=9\nsize=3\npad=1\nactivation=linear\n"
    model = DarknetModel(Network.parse(text))
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    module = model.children_of_layers[0]
    signs = torch.where(module.weights >= 0, 1, -1)
    expected = torch.nn.functional.conv2d(image.long(), signs, padding=1)
    alpha = module.weights.detach().double().abs().flatten(1).mean(1) / 255
    with torch.no_grad():
        found = model(image).double() / alpha.view(1, -1, 1, 1)
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-3)


def random_float_cfg(rng: np.random.Generator) -> str:
    """Sections in any order, on a small image: norms, activations and pools before the first convolution as well."""
    activations = ("linear", "leaky", "relu", "logistic")
    text = f"[net]\nwidth={rng.integers(8, 20)}\nheight={rng.integers(8, 20)}\nchannels=3\n"
    for _ in range(rng.integers(1, 7)):
        kinds = (
            "convolutional",
            "convolutional",
            "maxpool",
            "batchnorm",
            "activation",
            "dropout",
            "connected",
            "avgpool",
        )
        kind = rng.choice(kinds, p=(0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.07, 0.03))
        text += f"[{kind}]\n"
        if kind == "convolutional":
            size, stride, norm, pad = rng.choice((1, 2, 3, 5)), rng.integers(1, 3), rng.integers(2), rng.integers(2)
            text += f"filters={rng.integers(1, 9)}\nsize={size}\nstride={stride}\nbatch_normalize={norm}\npad={pad}\n"
        if kind == "maxpool":
            size = rng.integers(1, 4)
            text += f"size={size}\nstride={rng.integers(1, 3)}\npadding={rng.integers(0, size)}\n"
        if kind == "connected":
            text += f"output={rng.integers(1, 9)}\nbatch_normalize={rng.integers(2)}\n"
        if kind in ("convolutional", "activation", "connected"):
            text += f"activation={rng.choice(activations)}\n"
    return text


def test_random_networks_say_the_same_here_in_onnx_runtime_and_in_opencv() -> None:
    session = pytest.importorskip("onnxruntime").InferenceSession
    before = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        try:
            network = Network.parse(random_float_cfg(rng))
        except CfgError:
            continue  # The map has become too small.
        if all(layer.kind == "dropout" or layer.kind == "activation" for layer in network.layers):
            continue  # Perhaps no node, and no network.
        model = randomised(network, seed)
        parameters = model.parameters_of_layers()
        image = rng.integers(0, 256, (*network.input[1:], 3), np.uint8)
        kinds = [layer.kind for layer in network.layers if layer.kind not in ("dropout", "maxpool")]
        before += bool(kinds) and kinds[0] in ("batchnorm", "activation")
        with torch.no_grad():
            found = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
        graph = session(onnx_graph(network, parameters).SerializeToString(), providers=["CPUExecutionProvider"])
        planes = image.transpose(2, 0, 1)[None].astype(np.float32) / 255
        for other in (graph.run(["map"], {"image": planes})[0][0], FloatEngine(network, parameters).run(image)):
            np.testing.assert_allclose(found, other, rtol=1e-3, atol=1e-4, err_msg=f"seed {seed}\n{network.text}")
    assert before > 20


@pytest.mark.parametrize("section", ["[batchnorm]\n", "[activation]\nactivation=hwgq\nbits=2\n"])
@pytest.mark.parametrize("first", ["", "[activation]\nactivation=hwgq\nbits=1\n", "[maxpool]\nsize=2\nstride=2\n"])
def test_what_is_not_linear_sees_values_and_not_levels(first: str, section: str) -> None:
    model = randomised(Network.parse(f"[net]\nwidth=8\nheight=8\n{first}{section}"))
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    alone = randomised(Network.parse(f"[net]\nwidth=8\nheight=8\n{first}"), 1) if first else None
    values = alone(image) if alone else image / 255
    assert values.max() < 1.3, "values of an image, or one step of the quantiser"
    again = randomised(Network.parse(f"[net]\nwidth={values.shape[3]}\nheight={values.shape[2]}\n{section}"))
    again.load_state_dict({name.replace("s.1.", "s.0."): value for name, value in model.state_dict().items()})
    with torch.no_grad():
        torch.testing.assert_close(model(image), again(values * 255), rtol=1e-5, atol=1e-5)
