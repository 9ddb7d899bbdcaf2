"""The executable specification of a fixed-point program, in NumPy: slow, obvious, integers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.fixed_point.layer import FixedPointLayer, activate, requantize
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.ifq.reference import convolve, max_pool

Int16 = NDArray[np.int16]


def run_maps(program: FixedPointProgram, image: NDArray[np.uint8]) -> list[Int16]:
    """Run a program.

    Args:
        program: the program.
        image: uint8 (height, width, channels), RGB, any size that the network can take.

    Returns:
        The output map of each layer, int16 (channels, height, width); the last one is the program's.
    """
    maps: list[Int16] = []
    values = image.transpose(2, 0, 1).astype(np.int16)
    for layer in program.layers:
        values = run_layer(layer, values)
        maps.append(values)
    return maps


def run_layer(layer: FixedPointLayer, values: Int16) -> Int16:
    """The output map of a layer from its input map, both int16 (channels, height, width)."""
    convolution = layer.convolution
    sums = convolve(values, layer.weights, convolution.stride, convolution.padding)
    sums = sums + layer.offsets.astype(np.int32)[:, None, None]
    if layer.pool is not None:
        sums = max_pool(sums, layer.pool)
    return requantize(activate(sums, convolution.activation), layer.shift, layer.formats.maps)
