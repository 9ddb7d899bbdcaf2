"""The quantised network evaluated in float64, map by map: what the integer program must reproduce.

Sources: IFQ-Net, Eq. 1 to 4. The order of the operations matters for exact equality and stands once, in
:meth:`RealSubstructure.values`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import BATCH_NORM_EPSILON, MaxPool
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.ifq.substructures import Substructure, integer_chain
from tinier_yolo.quantization.hwgq import binarize, quantizer_for

#: The image is the first map: a level of it stands for 1/255.
IMAGE_STEP = 1 / 255

Float64 = NDArray[np.float64]
Floating = TypeVar("Floating", np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class RealSubstructure:
    """The real numbers of one substructure, float64, each but ``signs`` and ``step`` of shape (filters,).

    Attributes:
        signs: int8 (filters, channels, size, size), +1 or -1.
        alpha: scale of the binary weights.
        step: beta, the value of one level of the input map.
        bias: b, added to the convolution.
        mean: mu of the batch norm, 0 where there is none.
        deviation: sqrt(variance + epsilon), 1 where there is none.
        scale: gamma, 1 where there is none.
        shift: delta, 0 where there is none.
    """

    signs: NDArray[np.int8]
    alpha: Float64
    step: float
    bias: Float64
    mean: Float64
    deviation: Float64
    scale: Float64
    shift: Float64

    @classmethod
    def of(cls, substructure: Substructure, parameters: Parameters, step: float) -> RealSubstructure:
        """Collect a substructure's numbers from the network's parameters; ``step`` is that of its input map."""
        arrays = parameters[substructure.start]
        signs, alpha = binarize(arrays["weights"].reshape(substructure.convolution.weight_shape))
        zeros, ones = np.zeros(len(signs)), np.ones(len(signs))
        bias, norm = arrays["biases"].astype(np.float64), arrays
        if substructure.convolution.batch_normalize:
            bias = zeros  # Darknet adds this section's biases after the norm.
        elif substructure.norm is not None:
            norm = parameters[substructure.start + substructure.layers.index(substructure.norm)]
        else:
            return cls(signs, alpha, step, bias, zeros, ones, ones, zeros)
        gamma, mu, variance, delta = (
            norm[name].astype(np.float64) for name in ("scales", "means", "variances", "biases")
        )
        with np.errstate(invalid="ignore"):  # A negative variance gives nan, which conversion reports.
            deviation = np.sqrt(variance + BATCH_NORM_EPSILON)
        return cls(signs, alpha, step, bias, mu, deviation, gamma, delta)

    def values(self, accumulators: Float64) -> Float64:
        """What the integer sums ``accumulators`` (filters, ...) become: batch norm of alpha * beta * a + b.

        Every step is monotone in a and correctly rounded, so the whole is monotone in a, float64's rounding included.
        """

        def per_filter(array: Float64) -> Float64:
            return array.reshape(-1, *(1,) * (accumulators.ndim - 1))

        convolved = per_filter(self.alpha * self.step) * accumulators + per_filter(self.bias)
        normalized = per_filter(self.scale) * (convolved - per_filter(self.mean)) / per_filter(self.deviation)
        return normalized + per_filter(self.shift)

    def __getitem__(self, filters: slice) -> RealSubstructure:
        """The same numbers for some of the filters."""
        arrays = (self.bias, self.mean, self.deviation, self.scale, self.shift)
        return RealSubstructure(
            self.signs[filters], self.alpha[filters], self.step, *(array[filters] for array in arrays)
        )

    @property
    def slope(self) -> Float64:
        """The c in y = c * a + e: gamma * alpha * beta / deviation."""
        return self.scale * self.alpha * self.step / self.deviation

    @property
    def offset(self) -> Float64:
        """The e in y = c * a + e: gamma * (b - mu) / deviation + delta."""
        return self.scale * (self.bias - self.mean) / self.deviation + self.shift


def evaluate(
    network: Network, parameters: Parameters, image: NDArray[np.uint8]
) -> tuple[list[NDArray[np.uint8]], Float64]:
    """Evaluate a quantised network.

    Args:
        network: every convolution binary, the last substructure not quantised.
        parameters: its arrays.
        image: uint8 (height, width, 3) RGB, any size that the network can take.

    Returns:
        The levels that each quantised substructure gives, uint8 (channels, height, width), and the output map, float64.

    Raises:
        ConversionError: the network is not such a one.
    """
    maps: list[NDArray[np.uint8]] = []
    levels, step = image.transpose(2, 0, 1), IMAGE_STEP
    for substructure in integer_chain(network):
        real = RealSubstructure.of(substructure, parameters, step)
        convolution, pool, quantizer = substructure.convolution, substructure.pool, substructure.quantizer
        sums = convolve(levels, real.signs, convolution.stride, convolution.padding)
        if pool is not None:
            sums = max_pool(sums, pool)
        values = real.values(sums)
        if quantizer is None:
            return maps, values
        hwgq = quantizer_for(quantizer.bits, quantizer.quantizer)
        levels, step = hwgq.quantize(values), hwgq.step
        maps.append(levels)
    raise AssertionError("the caller has checked that the last substructure is not quantised")


def convolve(levels: NDArray[Any], signs: NDArray[Any], stride: int, padding: int) -> Float64:
    """The sums of signs * levels, (filters, height, width): whole numbers, which float64 adds without error.

    Or of weights * values, in float64.
    """
    padded = np.pad(levels.astype(np.float64), ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(padded, signs.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(signs.astype(np.float64), windows, axes=([1, 2, 3], [0, 3, 4]))


def max_pool(values: NDArray[Floating], pool: MaxPool) -> NDArray[Floating]:
    """Darknet's max pool of (channels, height, width): the odd cell of padding at the right and the bottom."""
    before = pool.padding // 2
    after = pool.padding - before
    padded = np.pad(values, ((0, 0), (before, after), (before, after)), constant_values=-np.inf)
    rows, columns = ((side - pool.size) // pool.stride + 1 for side in padded.shape[1:])
    best = np.full((len(values), rows, columns), -np.inf, values.dtype)
    for row, column in np.ndindex(pool.size, pool.size):  # Some times as fast as the maximum over a view of windows.
        seen = padded[:, row:, column:][:, : rows * pool.stride : pool.stride, : columns * pool.stride : pool.stride]
        np.maximum(best, seen, out=best)
    return best
