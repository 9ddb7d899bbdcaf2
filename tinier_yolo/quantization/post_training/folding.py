"""Batch norm folded into the convolutions of a float network, in float64, and the network run in floats.

What is quantised are the folded numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import BATCH_NORM_EPSILON, LEAKY_SLOPE, Convolutional
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.errors import WeightsError
from tinier_yolo.ifq.fixed_point.chain import Part, fixed_point_chain
from tinier_yolo.quantization.float64 import max_pool

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

#: A byte of the image stands for q / 256 in a fixed-point program and means q / 255.
IMAGE_SCALE = 256 / 255


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A convolution with its batch norm folded in; its output is activation(weights * x + biases), then the pool.

    Attributes:
        part: its geometry.
        weights: float64 (filters, channels, size, size); those of the first layer are for images of q / 256.
        biases: float64 (filters,).
    """

    part: Part
    weights: Float64
    biases: Float64

    def run(self, values: Float32) -> Float32:
        """The output map from the input map, both float32 (channels, height, width)."""
        convolution, pool = self.part.convolution, self.part.pool
        seen = windows(values, convolution)
        sums = np.tensordot(self.weights.astype(np.float32), seen, axes=([1, 2, 3], [0, 3, 4]))
        sums += self.biases.astype(np.float32)[:, None, None]
        if convolution.activation == "leaky":
            sums = np.where(sums < 0, np.float32(LEAKY_SLOPE) * sums, sums)
        elif convolution.activation == "relu":
            sums = np.maximum(sums, 0)
        return sums if pool is None else max_pool(sums, pool)


def fold(network: Network, parameters: Parameters) -> tuple[FoldedLayer, ...]:
    """The layers of a float network.

    Raises:
        ConversionError: it has a layer without a fixed-point form.
        WeightsError: folded numbers that are not finite.
    """
    layers = []
    for number, part in enumerate(fixed_point_chain(network)):
        exact = {name: array.astype(np.float64) for name, array in parameters[part.start].items()}
        weights, biases = exact["weights"].reshape(part.convolution.weight_shape), exact["biases"]
        if part.convolution.batch_normalize:
            # scale * (w*x - mean) / sqrt(variance + eps) + bias  =  (f*w) * x + (bias - f*mean),  f = scale / sqrt(...)
            with np.errstate(invalid="ignore"):
                factor = exact["scales"] / np.sqrt(exact["variances"] + BATCH_NORM_EPSILON)
            weights, biases = weights * factor[:, None, None, None], biases - factor * exact["means"]
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            place = f"layer {part.start} [convolutional]"
            raise WeightsError("the weights give numbers that are not finite", path=network.path, place=place)
        layers.append(FoldedLayer(part, weights * (IMAGE_SCALE if number == 0 else 1), biases))
    return tuple(layers)


def float_maps(layers: tuple[FoldedLayer, ...], image: NDArray[np.uint8]) -> list[Float32]:
    """The output map of each layer in floats, float32 (channels, height, width).

    Args:
        layers: the network.
        image: uint8 (height, width, channels).
    """
    maps, values = [], image.transpose(2, 0, 1).astype(np.float32) / np.float32(256)
    for layer in layers:
        values = layer.run(values)
        maps.append(values)
    return maps


def windows(values: Float32, convolution: Convolutional) -> Float32:
    """A view of what a convolution's weights are multiplied with, (channels, rows, columns, size, size)."""
    side, size = convolution.padding, convolution.size
    padded = np.pad(values, ((0, 0), (side, side), (side, side)))
    stride = convolution.stride
    return sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
