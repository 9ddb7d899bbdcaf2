"""A network's arrays from those of its narrower twin, so that both find the same boxes: Net2WiderNet for one factor.

Source: Chen et al. 2016, "Net2Net". Every filter but the last convolution's stands twice in the wide network, at f and
at f + n. The next convolution then sees each input twice, and each copy gets half of the weight: the same sums.

The halves are unequal, (1 + u) / 2 and (1 - u) / 2 of the weight: no output changes, but the copies get different
gradients and part when training begins. So no noise needs to be added that would move the boxes.

In a binary convolution both copies of a weight keep its sign, the sum of signs doubles, and alpha, the mean magnitude,
halves: thresholds on the sums double, levels stay.

A 1x1 kernel goes to the centre of a 3x3 one. Around it stand zeros. Binary weights have no zero, but every input
stands there twice: around the centre the two copies have **opposite signs** and cancel, exactly, at the border too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Activation, BatchNorm, Convolutional, MaxPool, Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters

#: The most by which two halves of a weight differ from its half, relative to it.
SPREAD = 0.25
#: Layers that work on each channel alone, or on none.
_NARROWABLE = (Convolutional, MaxPool, BatchNorm, Activation, Region)


def narrower_twins(network: Network) -> Iterator[Network]:
    """The networks that :func:`widen` makes this one of: half the filters but in the last convolution.

    First the one with the same kernels, then the one in which the last 3x3 convolution behind the first is 1x1, as
    Tinier-YOLO is to Tiny-YOLO. None where a number of filters is odd, or a layer is not of a detector.
    """
    convolutions = [layer for layer in network.layers if isinstance(layer, Convolutional)]
    if len(convolutions) < 2 or not all(isinstance(layer, _NARROWABLE) for layer in network.layers):
        return
    if any(layer.filters % 2 for layer in convolutions[:-1]):
        return
    lines = network.text.splitlines()
    for layer in convolutions[:-1]:
        _set(lines, layer, "filters", layer.filters // 2)
    yield Network.parse("\n".join(lines), f"the narrower twin of {network.path}")
    for layer in reversed(convolutions[1:]):
        if layer.size == 3 and layer.padding == 1 and layer.stride == 1:
            _set(lines, layer, "size", 1)
            if "padding" in layer.section.options:
                _set(lines, layer, "padding", 0)
            yield Network.parse("\n".join(lines), f"the narrower twin of {network.path}")
            return


def widen(parameters: Parameters, narrow: Network, wide: Network, spread: float = SPREAD, seed: int = 0) -> Parameters:
    """The arrays of ``wide`` that give the same last map as ``parameters`` give ``narrow``.

    Args:
        parameters: the narrow network's arrays.
        narrow: one of :func:`narrower_twins` of ``wide``.
        wide: the network to start.
        spread: from 0 to less than 1, by how much the halves of a weight differ; with 0 the copies never part.
        seed: of the differences.

    Returns:
        float32 arrays. Float networks agree up to the rounding of sums; quantised ones in every level.
    """
    rng = np.random.default_rng(seed)
    widened: list[dict[str, NDArray[np.float32]]] = []
    for before, after, arrays in zip(narrow.layers, wide.layers, parameters, strict=True):
        copies = after.output.channels // before.output.channels
        named = {name: np.tile(array, copies) for name, array in arrays.items() if name != "weights"}
        if isinstance(before, Convolutional) and isinstance(after, Convolutional):
            weights = np.tile(arrays["weights"], (copies, 1, 1, 1))
            if after.input.channels != before.input.channels:
                weights = _split(weights, spread, rng)
            named["weights"] = _grow(weights, after, spread, rng)
        widened.append(named)
    return tuple(widened)


def _split(weights: NDArray[np.float32], spread: float, rng: Generator) -> NDArray[np.float32]:
    """(f, c, k, k) -> (f, 2 c, k, k): two parts of each weight, of its sign, whose sum is the weight exactly."""
    # The larger part lies between a half and the whole: so the rest is exact in floating point (Sterbenz).
    larger = (weights * (0.5 + 0.5 * spread * rng.random(weights.shape))).astype(np.float32)
    smaller = weights - larger
    first = rng.random(weights.shape) < 0.5
    return np.concatenate([np.where(first, larger, smaller), np.where(first, smaller, larger)], axis=1)


def _grow(weights: NDArray[np.float32], layer: Convolutional, spread: float, rng: Generator) -> NDArray[np.float32]:
    """A kernel in the centre of the layer's larger one: (f, 2 c, 1, 1) -> (f, 2 c, 3, 3); else as it is."""
    if weights.shape == layer.weight_shape:
        return weights
    grown = np.zeros(layer.weight_shape, np.float32)
    if layer.binary:
        filters, channels, height, width = layer.weight_shape
        shape = (filters, channels // 2, height, width)
        # Of the centre's mean magnitude, so that alpha is what it was.
        size = np.abs(weights).mean(axis=(1, 2, 3), dtype=np.float64)[:, None, None, None]
        signs = rng.choice(np.array([-1, 1]), shape)
        larger = spread * rng.uniform(-1, 1, shape)
        grown[:] = np.concatenate([signs * size * (1 + larger), -signs * size * (1 - larger)], axis=1)
    grown[:, :, 1:-1, 1:-1] = weights
    return grown


def _set(lines: list[str], layer: Convolutional, key: str, value: int) -> None:
    option = layer.section.options.get(key)
    if option is not None:
        lines[option.line - 1] = f"{key}={value}"
