"""Conversion as a whole: lossless on every map, a proof of it, and what cannot be converted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.networks import REGION, Block, ifq_cfg, random_image, random_parameters
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.limits import MAX_ACCUMULATOR
from tinier_yolo.quantization import convert as convert_module
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.float64 import evaluate


def make(*blocks: Block, seed: int = 0, size: int = 1) -> tuple[Network, Parameters]:
    network = Network.parse(ifq_cfg(blocks, 16, 8, size=size) + REGION)
    return network, random_parameters(network, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", ["uniform", "half-wave"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_levels_are_those_of_float64(bits: int, kind: str) -> None:
    blocks = [
        Block(20, pool=(2, 2), bits=bits, quantizer=kind),
        Block(12, bits=5 - bits, quantizer=kind, norm=False),
        Block(9, pool=(2, 1), bits=bits, quantizer=kind),
    ]
    for seed in range(6):
        network, parameters = make(*blocks, seed=seed, size=3)
        conversion = convert(network, parameters)
        image = random_image(np.random.default_rng(seed), 8, 16)
        maps, output = reference.run_maps(conversion.program, image)
        expected, real = evaluate(network, parameters, image)
        for found, wanted in zip(maps, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        limit = conversion.program.output.limit
        assert np.abs(output / 2**14 - real).max() <= (1 + limit) / 2**14


def test_the_proof_covers_every_channel_of_every_quantised_layer() -> None:
    network, parameters = make(Block(20, pool=(2, 2)), Block(12, bits=3))
    conversion = convert(network, parameters)
    proof = conversion.proof
    assert [(layer.layer, layer.channels, layer.limit) for layer in proof.layers] == [
        (0, 20, 255 * 27),
        (4, 12, 3 * 9 * 20),
    ]
    assert conversion.program.proof == {
        "channels": 32,
        "values": proof.values,
        "constant": [len(layer.constant) for layer in proof.layers],
    }


def test_a_wrong_threshold_does_not_become_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    network, parameters = make(Block(20))
    right = convert_module.integer_thresholds

    def wrong(*arguments: Any) -> Any:
        thresholds, flips = right(*arguments)
        thresholds[7, 1] += 1
        return thresholds, flips

    parameters[1]["scales"][7], parameters[1]["biases"][7] = 1.0, 0.0
    monkeypatch.setattr(convert_module, "integer_thresholds", wrong)
    with pytest.raises(ConversionError, match="layer 0, channel 7, accumulator"):
        convert(network, parameters)


def test_more_fraction_bits_are_more_exact() -> None:
    network, parameters = make(Block(20))
    image = random_image(np.random.default_rng(0), 8, 16)
    _, real = evaluate(network, parameters, image)
    errors = []
    for bits in (6, 10, 14, 18):
        program = convert(network, parameters, fraction_bits=bits).program
        errors.append(np.abs(reference.run_maps(program, image)[1] / 2**bits - real).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize(("array", "value", "name"), [("variances", -1.0, "deviation"), ("means", np.inf, "mean")])
def test_numbers_that_are_not_finite_are_refused(array: str, value: float, name: str) -> None:
    network, parameters = make(Block(20))
    parameters[1][array][3] = value
    with pytest.raises(ConversionError, match=rf"<cfg>: line 6, \[convolutional\]: the {name} of channel 3 is not"):
        convert(network, parameters)


def test_too_many_fraction_bits_are_refused() -> None:
    network, parameters = make(Block(200))
    with pytest.raises(ConversionError, match="does not fit int32 with 28 fraction bits"):
        convert(network, parameters, fraction_bits=28)


def test_the_class_names_must_be_as_many_as_the_classes() -> None:
    network, parameters = make(Block(4))
    with pytest.raises(ConversionError, match=r"number of class names .*expected 1, found 2"):
        convert(network, parameters, class_names=("face", "hand"))


def test_an_accumulator_beyond_the_limit_is_refused() -> None:
    blocks = [Block(16384, size=1, padding=0, bits=4), Block(1, size=31, padding=15)]
    assert MAX_ACCUMULATOR < 15 * 16384 * 31 * 31
    network = Network.parse(ifq_cfg(blocks, 8, 8) + REGION)
    parameters = list(random_parameters(Network.parse(ifq_cfg(blocks[:1], 8, 8) + REGION), np.random.default_rng(0)))
    zeros = [{n: np.zeros(s, np.float32) for n, s in layer.parameters if n != "weights"} for layer in network.layers]
    small = tuple(parameters[:3]) + tuple(zeros[3:])
    small[3]["weights"] = np.broadcast_to(np.float32(1), (1, 16384, 31, 31))
    with pytest.raises(ConversionError, match="an accumulator that reaches 236175360, beyond 16777216"):
        convert(network, small)
