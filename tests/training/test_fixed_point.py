"""Fine-tuning in fixed point: the module computes what the program of its weights computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.networks import random_image
from tests.random_fixed_point import image_for, random_cfg
from tests.training.classifiers import CLASSES, write_colours
from tests.training.conftest import tiny_cfg
from tinier_yolo.classification.classifier import Classifier
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, load_weights, save_weights
from tinier_yolo.errors import ConversionError, DataError, UsageError
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram, formats_json
from tinier_yolo.ifq.fixed_point.reference import run_maps
from tinier_yolo.quantization.post_training.folding import fold
from tinier_yolo.quantization.post_training.formats import Builder, LayerBits
from tinier_yolo.quantization.post_training.statistics import map_statistics
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.training.fixed_point import FixedPointModel, read_formats, rounded
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.train import train


def random_network(rng: np.random.Generator) -> tuple[Network, Parameters]:
    """A network of convolutions and pools of several kinds, half of them with batch norms."""
    lines = random_cfg(rng, 3).split("\n")
    norms = [f"{line}\nbatch_normalize={rng.integers(2)}" if line == "[convolutional]" else line for line in lines]
    network = Network.parse("\n".join(norms))
    return network, random_arrays(network, rng)


def random_arrays(network: Network, rng: np.random.Generator) -> Parameters:
    arrays = []
    for layer in network.layers:
        made = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in layer.parameters}
        if "variances" in made:
            made["variances"] = np.abs(made["variances"]) + np.float32(0.1)
        arrays.append(made)
    return tuple(arrays)


def model_of(network: Network, parameters: Parameters, image: np.ndarray, bits: int) -> FixedPointModel:
    layers = fold(network, parameters)
    builder = Builder(layers, map_statistics(layers, [image], 1))
    built = builder.build((LayerBits(bits, bits + 2, bits),) * len(layers))
    model = FixedPointModel(network, tuple(layer.formats for layer in built))
    model.load_parameters(parameters)
    return model.eval()


@pytest.mark.parametrize("seed", range(8))
def test_evaluation_is_the_integer_program_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, parameters = random_network(rng)
    channels, height, width = network.input
    image = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
    model = model_of(network, parameters, image, int(rng.integers(2, 9)))
    program = model.program(("face",))
    image = image_for(program, rng)
    output = model(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])[0].detach().numpy()
    expected = program.layers[-1].formats.maps.decode(run_maps(program, image)[-1])
    assert np.array_equal(output, expected.astype(np.float32))
    assert np.abs(expected).max() > 0


NET = "[net]\nwidth=8\nheight=8\nbatch=8\nmax_batches=6\nlearning_rate=0.01\n"
BLOCK = "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=relu\n"
CONNECTED = "[connected]\nbatch_normalize=1\noutput=7\nactivation=leaky\n[connected]\noutput=3\nactivation=linear\n"
CLASSIFIERS = {
    "connected": NET + BLOCK + "[maxpool]\nsize=2\nstride=2\n[dropout]\nprobability=.5\n" + CONNECTED + "[softmax]\n",
    "mean": NET + BLOCK + "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[avgpool]\n[softmax]\n[cost]\n",
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_is_fine_tuned_as_what_its_program_says(kind: str, tmp_path: Path) -> None:
    (tmp_path / "small.cfg").write_text(CLASSIFIERS[kind])
    network, rng = Network.load(tmp_path / "small.cfg"), np.random.default_rng(5)
    parameters = random_arrays(network, rng)
    image = random_image(rng, 8, 8)
    model = model_of(network, parameters, image, 6)
    program = model.program(CLASSES)
    logits = Classifier(Engine(program), network, CLASSES, program.fraction_bits).logits(image)
    seen = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    assert np.array_equal(model(seen)[0, :, 0, 0].detach().numpy(), logits.astype(np.float32))
    assert np.abs(logits).max() > 0
    model.train()
    assert (kind == "connected") == (not torch.equal(model(seen), model(seen)))  # dropout
    save_weights(tmp_path / "start.weights", network, parameters)
    options = TrainingOptions(
        data=write_colours(tmp_path / "data"),
        out=tmp_path / "run",
        workers=0,
        formats=report(tmp_path, network, model),
        init=tmp_path / "start.weights",
    )
    result = train(network, options)
    assert FixedPointProgram.load(tmp_path / "run" / "small.ifq").class_names == CLASSES
    tuned = load_weights(result.weights, network)
    assert not np.array_equal(tuned[0]["weights"], parameters[0]["weights"])
    # The statistics stay as they were, but that .weights scale variances below 1 away.
    assert np.allclose(
        *(own["means"] / np.sqrt(own["variances"] + 1e-5) for own in (tuned[0], parameters[0])), rtol=1e-5
    )


def test_training_computes_nearly_the_same_and_reaches_all_arrays() -> None:
    rng = np.random.default_rng(3)
    network, parameters = random_network(rng)
    channels, height, width = network.input
    image = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
    model = model_of(network, parameters, image, 8)
    seen = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    exact = model(seen)
    model.train()
    trained = model(seen)
    assert float((trained - exact).detach().abs().max()) <= 2 * model.formats[-1].maps.step
    trained.square().sum().backward()
    gradients = {name: own.grad for name, own in model.named_parameters() if own.grad is not None}
    assert all(float(own.abs().sum()) > 0 for own in gradients.values())
    assert len(gradients) >= 2 * len(model.parts)


def test_gradients_pass_where_nothing_saturates() -> None:
    values = torch.tensor([-9.0, -2.0, -0.3, 0.25, 0.74, 1.7, 1.9], requires_grad=True)
    made = rounded(values, NumberFormat(3, 1))
    assert made.tolist() == [-2.0, -2.0, -0.5, 0.5, 0.5, 1.5, 1.5]
    made.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def report(folder: Path, network: Network, model: FixedPointModel) -> Path:
    content = {"formats": formats_json(model.formats), "layers": [{"name": part.name} for part in model.parts]}
    path = folder / "quantize.json"
    path.write_text(json.dumps(content))
    return path


def test_train_writes_weights_and_program(drawings: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.cfg").write_text(tiny_cfg(binary=False).replace("max_batches=50", "max_batches=3"))
    network = Network.load(tmp_path / "tiny.cfg")
    rng = np.random.default_rng(0)
    arrays = [
        {
            name: (np.abs if name == "variances" else np.asarray)(rng.normal(0.1, 0.3, shape)).astype(np.float32)
            for name, shape in layer.parameters
        }
        for layer in network.layers
    ]
    save_weights(tmp_path / "start.weights", network, tuple(arrays))
    image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    model = model_of(network, tuple(arrays), image, 6)
    formats = report(tmp_path, network, model)
    options = {"data": drawings, "out": tmp_path / "run", "workers": 0, "log_every": 1, "keep_every": 3}
    given = TrainingOptions(**options, formats=formats, init=tmp_path / "start.weights")  # type: ignore[arg-type]
    result = train(network, given)
    program = FixedPointProgram.load(tmp_path / "run" / "tiny.ifq")
    assert tuple(layer.formats for layer in program.layers) == model.formats
    again = FixedPointModel(network, model.formats)
    again.load_parameters(load_weights(result.weights, network))
    pairs = zip(again.program(("face",)).layers, program.layers, strict=True)
    assert all(np.array_equal(one.weights, other.weights) for one, other in pairs)
    with pytest.raises(UsageError, match="--formats is for fine-tuning"):
        train(network, TrainingOptions(**{**options, "out": tmp_path / "no"}, formats=formats))  # type: ignore[arg-type]


def test_a_bad_report_is_refused_before_the_images_are_looked_at(tmp_path: Path) -> None:
    network = Network.parse(tiny_cfg(binary=False), "tiny.cfg")
    (tmp_path / "quantize.json").write_text("[]")
    options = TrainingOptions(data=tmp_path / "no.data", out=tmp_path / "run", formats=tmp_path / "quantize.json")
    with pytest.raises(DataError, match="not a report of quantize"):
        train(network, options)


def test_reports_that_do_not_fit(tmp_path: Path) -> None:
    network = Network.parse(tiny_cfg(binary=False), "tiny.cfg")
    path = tmp_path / "quantize.json"
    path.write_text("[]")
    with pytest.raises(DataError, match="not a report of quantize"):
        read_formats(path, network)
    names = [{"name": "3x3/1 99 leaky, pool"}] * 5
    one = {name: [8, 4, 1] for name in ("weights", "biases", "maps")}
    path.write_text(json.dumps({"formats": [one] * 5, "layers": names}))
    with pytest.raises(DataError, match=r"the report of another network .expected 3x3/1 8 leaky, pool, found 3x3/1 99"):
        read_formats(path, network)
    path.write_text(json.dumps({"formats": [one] * 2, "layers": names[:2]}))
    with pytest.raises(DataError, match="the report of another network"):
        read_formats(path, network)
    with pytest.raises(ConversionError, match="a binary layer"):
        read_formats(path, Network.parse(tiny_cfg(binary=True)))
