from __future__ import annotations

import numpy as np
import pytest

from tests.networks import random_image, random_parameters
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError, UsageError
from tinier_yolo.ifq.program import Program
from tinier_yolo.ifq.reference import run_maps
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.partial import FloatPart, IntegerPart, convert_partially

NET = "[net]\nwidth=12\nheight=12\n"
NORM = "[batchnorm]\n[activation]\nactivation=hwgq\nbits={bits}\n"
POOL = "[maxpool]\nsize=3\nstride=2\npadding=0\n"


def convolution(filters: int, binary: int) -> str:
    return f"[convolutional]\nbinary={binary}\nfilters={filters}\nsize=3\npad=1\nactivation=linear\n"


def alexnet(bits: int = 2, first: int = 0, last: int = 0) -> str:
    """The kinds of substructures of IFQ-AlexNet: float, quantised with a pool, connected over 5x5, the last."""
    norm = NORM.format(bits=bits)
    text = NET + convolution(6, first) + norm + convolution(7, 1) + POOL + norm
    text += "[dropout]\n[connected]\nbinary=1\noutput=9\nactivation=linear\n" + norm
    text += "[connected]\nbinary=1\noutput=8\nactivation=linear\n"
    if not last:
        text += "[batchnorm]\n[activation]\nactivation=relu\n[connected]\noutput=5\nactivation=linear\n"
    return text + "[softmax]\n"


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_integer_parts_say_what_the_float_network_says(bits: int) -> None:
    network = Network.parse(alexnet(bits))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        partial = convert_partially(network, random_parameters(network, rng))
        assert [type(part) for part in partial.parts] == [FloatPart, IntegerPart, IntegerPart, FloatPart]
        assert partial.arithmetic == "integers in substructures 2 to 3 of 4, float64 in the others"
        image = random_image(rng, 12, 12)
        assert np.array_equal(partial.run(image), partial.run(image, integers=False))
        assert partial.run(image).shape == (5, 1, 1)


def test_a_changed_threshold_is_noticed() -> None:
    network, rng = Network.parse(alexnet()), np.random.default_rng(0)
    partial = convert_partially(network, random_parameters(network, rng))
    part = partial.parts[1]
    assert isinstance(part, IntegerPart)
    part.layer.thresholds[:] += 40
    image = random_image(rng, 12, 12)
    assert not np.array_equal(partial.run(image), partial.run(image, integers=False))


@pytest.mark.parametrize("number", [0, 3])
def test_a_float_part_with_separated_numbers(number: int) -> None:
    network, rng = Network.parse(alexnet()), np.random.default_rng(7)
    parameters, image = random_parameters(network, rng), random_image(rng, 12, 12)
    exact = convert_partially(network, parameters)
    part = convert_partially(network, parameters, {number: 9}).parts[number]
    assert isinstance(part, FloatPart)
    for arrays in part.arrays:
        for name, array in arrays.items():
            bits = 18 if name == "biases" and "deviations" not in arrays else 9
            assert np.array_equal(np.ldexp(array, bits) % 1, np.zeros_like(array))
    levels = image.transpose(2, 0, 1) if number == 0 else random_image(rng, 1, 1, 9).transpose(2, 0, 1) % 4
    expected = exact.parts[number].run(levels)
    fine = convert_partially(network, parameters, {number: 30}).parts[number]
    coarse_error, fine_error = (float(np.abs(own.run(levels) - expected).max()) for own in (part, fine))
    assert 0.5 > coarse_error > 1000 * fine_error
    if number == 0:
        quantizer = exact.parts[0].quantizer
        assert part.quantizer is not None
        assert quantizer is not None
        assert part.quantizer.thresholds == tuple(np.floor(np.multiply(quantizer.thresholds, 512)) / 512)


def test_an_m_that_leaves_no_deviation_is_refused() -> None:
    network = Network.parse(alexnet())
    parameters = random_parameters(network, np.random.default_rng(0))
    with pytest.raises(ConversionError, match=r"m = 0 is too small: the deviation of channel \d+ becomes 0"):
        convert_partially(network, parameters, {0: 0})


@pytest.mark.parametrize("number", [1, 6])
def test_a_negative_variance_of_a_float_part_is_refused(number: int) -> None:
    network = Network.parse(alexnet())
    parameters = random_parameters(network, np.random.default_rng(0))
    norms = [arrays for arrays in parameters if "variances" in arrays]
    (norms[0] if number == 1 else norms[-1])["variances"][2] = -1
    with pytest.raises(ConversionError, match="deviations that are not finite numbers"):
        convert_partially(network, parameters)


def test_a_network_that_is_binary_throughout_is_a_program_too() -> None:
    network, rng = Network.parse(alexnet(first=1, last=1)), np.random.default_rng(0)
    parameters, image = random_parameters(network, rng), random_image(rng, 12, 12)
    program = convert(network, parameters, class_names=tuple("abcdefgh")).program
    again = Program.from_bytes(program.to_bytes())
    _, output = run_maps(again, image)
    expected = convert_partially(network, parameters).run(image)
    assert output.shape == (8, 1, 1)
    np.testing.assert_allclose(output / 2.0**program.fraction_bits, expected, atol=0.05)


def test_pytorch_says_the_same() -> None:
    torch = pytest.importorskip("torch")
    from tinier_yolo.training.model import DarknetModel

    network, rng = Network.parse(alexnet()), np.random.default_rng(3)
    parameters, image = random_parameters(network, rng), random_image(rng, 12, 12)
    model = DarknetModel(network).eval()
    model.load_parameters(parameters)
    with torch.no_grad():
        found = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
    np.testing.assert_allclose(found, convert_partially(network, parameters).run(image), rtol=1e-5, atol=1e-5)


REFUSED = {
    "nothing in this network is quantised": NET + convolution(4, 0) + "[softmax]\n",
    "there is no output map": NET + convolution(4, 1) + NORM.format(bits=2),
    "reads a map without levels": NET + convolution(4, 0) + convolution(4, 1) + NORM.format(bits=2) + convolution(2, 0),
    "a connected layer over a map of 12x10": (
        "[net]\nwidth=12\nheight=10\n[connected]\nbinary=1\noutput=4\nactivation=linear\n"
        + NORM.format(bits=2) + "[connected]\noutput=4\nactivation=linear\n"
    ),
    "a quantiser behind a float convolution that other layers follow": (
        NET + convolution(4, 0) + NORM.format(bits=2) + convolution(4, 0) + convolution(4, 1) + NORM.format(bits=2)
        + convolution(4, 0)
    ),
}  # fmt: skip


@pytest.mark.parametrize("problem", REFUSED)
def test_networks_without_such_a_form_are_refused(problem: str) -> None:
    network = Network.parse(REFUSED[problem])
    with pytest.raises(ConversionError, match=problem) as caught:
        convert_partially(network, random_parameters(network, np.random.default_rng(0)))
    assert "line " in str(caught.value)


def test_another_size_is_refused() -> None:
    network = Network.parse(alexnet())
    partial = convert_partially(network, random_parameters(network, np.random.default_rng(0)))
    with pytest.raises(UsageError, match="not the network's input"):
        partial.run(np.zeros((8, 8, 3), np.uint8))
