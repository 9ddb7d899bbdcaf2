"""Weights that mean the same to every reader of Darknet's format.

Readers disagree about the epsilon of batch normalisation: 1e-5 under the root here, 1e-6 in OpenCV's importer, 1e-6
beside the root in Darknet's own code. It matters where a variance is small. But a channel's weights, mean and standard
deviation may be scaled together without changing what the channel says, so small variances need not be.
"""

from __future__ import annotations

import numpy as np

from tinier_yolo.darknet.layers import BATCH_NORM_EPSILON, Convolutional
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters


def portable(network: Network, parameters: Parameters) -> Parameters:
    """The same network with no variance below 1 where a float convolution carries the batch normalisation.

    With w' = s w, mean' = s mean and var' + e = s^2 (var + e) every output stays as it is.
    """
    return tuple(
        _scaled(arrays) if isinstance(layer, Convolutional) and layer.batch_normalize and not layer.binary else arrays
        for layer, arrays in zip(network.layers, parameters, strict=True)
    )


def _scaled(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    variance = arrays["variances"].astype(np.float64)
    factor = np.sqrt(np.maximum(1.0, (1 + BATCH_NORM_EPSILON) / (variance + BATCH_NORM_EPSILON)))
    scaled = {
        "weights": arrays["weights"] * factor[:, None, None, None],
        "means": arrays["means"] * factor,
        "variances": np.maximum(variance, 1.0),
    }
    return {**arrays, **{name: array.astype(np.float32) for name, array in scaled.items()}}
