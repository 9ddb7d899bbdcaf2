"""The proof enumerates everything, and it can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_parameters
from tests.quantization.test_integrated import real
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.quantization import proof as proof_module
from tinier_yolo.quantization.float64 import RealSubstructure
from tinier_yolo.quantization.hwgq import quantizer_for
from tinier_yolo.quantization.integrated import integer_thresholds
from tinier_yolo.quantization.proof import LayerProof, Proof, prove

LIMIT = 27 * 255
QUANTIZER = quantizer_for(2, "uniform")


@pytest.fixture
def arguments() -> dict[str, Any]:
    """The arguments of a proof that holds: 24 channels of a first layer."""
    network = Network.parse(ifq_cfg([Block(24)], 8, 8))
    parameters = random_parameters(network, np.random.default_rng(1))
    substructure = RealSubstructure.of(integer_chain(network)[0], parameters, 1 / 255)
    thresholds, flips = integer_thresholds(substructure, QUANTIZER, LIMIT)
    return {
        "layer": 0,
        "thresholds": thresholds,
        "flips": flips,
        "real": substructure,
        "quantizer": QUANTIZER,
        "limit": LIMIT,
    }


@pytest.mark.parametrize("block", [1, 1 << 15, 1 << 30])
def test_it_tries_every_accumulator_on_every_channel(
    arguments: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_module, "_BLOCK", block)
    found = prove(**arguments)
    assert (found.channels, found.limit, found.values) == (24, LIMIT, 24 * (2 * LIMIT + 1))
    accumulators = np.arange(-LIMIT, LIMIT + 1.0)
    levels = QUANTIZER.quantize(arguments["real"].values(accumulators[None]))
    assert found.constant == tuple(np.flatnonzero((levels == levels[:, :1]).all(axis=1)))
    assert found.constant


@pytest.mark.parametrize("change", [-1, 1])
def test_a_threshold_that_is_off_by_one_is_caught(arguments: dict[str, Any], change: int) -> None:
    inside = np.argwhere(np.abs(arguments["thresholds"]) < LIMIT - 1)
    assert len(inside) > 10
    for channel, i in inside:
        broken = arguments["thresholds"].copy()
        broken[channel, i] += change
        with pytest.raises(ConversionError, match=f"layer 0, channel {channel}, accumulator -?[0-9]+: the integer"):
            prove(**{**arguments, "thresholds": broken})


def test_the_first_and_the_last_accumulator_are_tried() -> None:
    constant = real(scale=[0.0], shift=1.0)  # always level 2
    flips = np.array([False])
    for broken, accumulator in (([-51, -50, 51], -50), ([-51, -51, 49], 50)):
        with pytest.raises(ConversionError, match=f"accumulator {accumulator}: the integer"):
            prove(0, np.array([broken]), flips, constant, QUANTIZER, 50)
    assert prove(0, np.array([[-51, -51, 50]]), flips, constant, QUANTIZER, 50).constant == (0,)


def test_a_wrong_flip_is_caught(arguments: dict[str, Any]) -> None:
    for channel in range(24):
        flips = arguments["flips"].copy()
        flips[channel] ^= True
        with pytest.raises(ConversionError, match=f"channel {channel}, accumulator"):
            prove(**{**arguments, "flips": flips})


def test_another_quantiser_is_caught(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConversionError):
        prove(**{**arguments, "quantizer": quantizer_for(2, "half-wave")})


def test_the_report() -> None:
    proof = Proof((LayerProof(0, 8, 10, ()), LayerProof(4, 16, 100, tuple(range(9)))))
    assert (proof.channels, proof.values, proof.constant) == (24, 8 * 21 + 16 * 201, 9)
    assert str(proof) == (
        "layer  0:    8 channels x accumulators -10..10: equal\n"
        "layer  4:   16 channels x accumulators -100..100: equal; constant: 0, 1, 2, 3, 4, 5, 6, 7, ... (9 in all)\n"
        "proved: 3,384 levels of 24 channels, integer == float64; 9 channels constant"
    )
