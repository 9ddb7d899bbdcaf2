"""Partly quantised networks by the kernels: the same numbers as by the reference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import random_image, random_parameters
from tests.quantization.test_partial import alexnet
from tinier_yolo.classification import partial_engine
from tinier_yolo.classification.partial_engine import PartialEngine
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.reference import run_quantized
from tinier_yolo.quantization.partial import IntegerPart, convert_partially


@pytest.mark.parametrize(("bits", "first", "m"), [(1, 0, None), (2, 0, {0: 9, 1: 9}), (3, 1, {3: 14}), (4, 0, None)])
def test_it_says_what_the_reference_says(
    bits: int, first: int, m: dict[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_engine, "REFERENCE_IMAGES", 1)
    network, rng = Network.parse(alexnet(bits, first)), np.random.default_rng(bits)
    partial = convert_partially(network, random_parameters(network, rng), m)
    engine = PartialEngine(partial)
    for _ in range(5):
        image = random_image(rng, 12, 12)
        np.testing.assert_array_equal(engine.run(image), partial.run(image))


def test_the_kernels_run_once_the_reference_has_had_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_engine, "REFERENCE_IMAGES", 2)
    network, rng = Network.parse(alexnet()), np.random.default_rng(0)
    engine = PartialEngine(convert_partially(network, random_parameters(network, rng)))
    by_reference = []

    def run(part: IntegerPart, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        by_reference.append(part)
        return run_quantized(part.layer, levels)

    monkeypatch.setattr(IntegerPart, "run", run)
    for number in range(4):
        engine.run(random_image(np.random.default_rng(number), 12, 12))
    assert len(by_reference) == 2 * 2


@pytest.mark.parametrize("reference_images", [0, 5])
def test_another_size_is_refused(reference_images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_engine, "REFERENCE_IMAGES", reference_images)
    network = Network.parse(alexnet())
    engine = PartialEngine(convert_partially(network, random_parameters(network, np.random.default_rng(0))))
    with pytest.raises(UsageError, match="not the network's input"):
        engine.run(np.zeros((8, 8, 3), np.uint8))
