"""The float64 evaluation against plain Python, operation by operation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests import naive
from tests.networks import Block, ifq_cfg, random_image, random_parameters
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.quantization.float64 import evaluate
from tinier_yolo.quantization.hwgq import quantizer_for


def naive_values(
    sums: naive.Map, convolution: dict[str, Any], norm: dict[str, Any] | None, own: bool, beta: float
) -> list[list[list[float]]]:
    """Eq. 1 and 2, a value at a time."""
    values = []
    for f, plane in enumerate(sums):
        weights = [float(w) for w in convolution["weights"][f].ravel()]
        alpha = math.fsum(abs(w) for w in weights) / len(weights)
        bias = 0.0 if own else float(convolution["biases"][f])
        made = [[alpha * beta * a + bias for a in row] for row in plane]
        if norm is not None:
            scale, mean, variance, shift = (float(norm[k][f]) for k in ("scales", "means", "variances", "biases"))
            made = [[scale * (y - mean) / math.sqrt(variance + 1e-5) + shift for y in row] for row in made]
        values.append(made)
    return values


@pytest.mark.parametrize("kind", ["uniform", "half-wave"])
@pytest.mark.parametrize("norm", ["none", "section", "own"])
def test_two_layers(kind: str, norm: str) -> None:
    rng = np.random.default_rng(0)
    blocks = [
        Block(3, pool=None if norm == "own" else (2, 2), bits=2, quantizer=kind, norm=norm == "section"),
        Block(4, size=1, padding=0, bits=3, quantizer=kind, norm=norm == "section"),
    ]
    text = ifq_cfg(blocks, 6, 8, outputs=2)
    if norm == "own":
        text = text.replace("activation=linear", "batch_normalize=1\nactivation=linear")
    network = Network.parse(text)
    parameters: Parameters = random_parameters(network, rng)
    image = random_image(rng, 8, 6)
    maps, output = evaluate(network, parameters, image)

    levels: Any = image.transpose(2, 0, 1).tolist()
    beta, layer = 1 / 255, 0
    for index, block in enumerate(blocks):
        arrays = parameters[layer]
        signs = np.where(arrays["weights"] >= 0, 1, -1).tolist()
        sums = naive.convolve(levels, signs, 1, block.padding)
        if block.pool:
            sums, layer = naive.max_pool(sums, 2, 2, 1), layer + 1
        norms = {"none": None, "own": arrays, "section": parameters[layer + 1]}
        values = naive_values(sums, arrays, norms[norm], norm == "own", beta)
        layer += 3 if norm == "section" else 2
        quantizer = quantizer_for(block.bits, kind)
        levels = [[[sum(v > t for t in quantizer.thresholds) for v in row] for row in plane] for plane in values]
        assert maps[index].tolist() == levels
        beta = quantizer.step
    arrays = parameters[layer]
    sums = naive.convolve(levels, np.where(arrays["weights"] >= 0, 1, -1).tolist(), 1, 0)
    expected = naive_values(sums, arrays, arrays if norm == "own" else None, norm == "own", beta)
    np.testing.assert_allclose(output, expected, rtol=1e-12, atol=1e-12)
