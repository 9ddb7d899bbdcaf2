"""Channels of a float network brought to like sizes; what it computes stays the same.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1. A
tensor has one binary point, so that a channel much smaller than the others is lost in few bits. Leaky ReLU, ReLU and a
max pool let a positive factor through, f(s x) = s f(x): a channel divided by s in one layer may be multiplied by it in
the weights of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinier_yolo.quantization.post_training.folding import Float64, FoldedLayer

#: Passes over all layers; the factors of the last ones are 1 to within rounding.
PASSES = 20

#: By how much the largest bias of a layer may grow. A channel that its bias alone makes (a pruned one)
#: would otherwise get a map so large that all other channels of the tensor round to nothing.
LARGEST_GROWTH = 4.0


def equalize(layers: Sequence[FoldedLayer]) -> tuple[FoldedLayer, ...]:
    """The same network, in which the weights that make a channel are as large as those that read it.

    Sizes are root mean squares: of filter i's weights r, of the next layer's weights for channel i r'. The factor
    sqrt(r / r') makes both sqrt(r r'), as far as no bias becomes more than :data:`LARGEST_GROWTH` times the layer's
    largest. A channel that nothing makes or reads keeps its numbers.
    """
    equal = list(layers)
    largest = [LARGEST_GROWTH * np.abs(layer.biases).max() for layer in layers]
    for _ in range(PASSES):
        for number in range(len(equal) - 1):
            layer, reader = equal[number], equal[number + 1]
            factors = _factors(_size(layer.weights, (1, 2, 3)), _size(reader.weights, (0, 2, 3)))
            if largest[number] > 0:
                factors = np.maximum(factors, np.abs(layer.biases) / largest[number])
            weights = layer.weights / factors[:, None, None, None]
            equal[number] = replace(layer, weights=weights, biases=layer.biases / factors)
            equal[number + 1] = replace(reader, weights=reader.weights * factors[None, :, None, None])
    return tuple(equal)


def _size(weights: Float64, axes: tuple[int, ...]) -> Float64:
    return np.asarray(np.sqrt(np.square(weights).mean(axis=axes)))


def _factors(made: Float64, read: Float64) -> Float64:
    used = (made > 0) & (read > 0)
    return np.where(used, np.sqrt(np.where(used, made, 1) / np.where(used, read, 1)), 1.0)
