"""Where a run begins: random weights, a .weights file of the same network, of its float twin, or of a narrower one.

The float twin of an IFQ network has a batch normalisation inside each convolution where the IFQ network has a
[batchnorm] after its pool: ``[convolutional] batch_normalize=1`` against ``[convolutional] binary=1`` / ``[maxpool]`` /
``[batchnorm]``. Both have the same arrays but for the convolutions' own biases, which the twin lacks.
"""

from __future__ import annotations

import numpy as np

from tinier_yolo.darknet.layers import BatchNorm, Connected
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import (
    ArrayList,
    Parameters,
    count_values,
    parse_arrays,
    parse_weights,
    read_header,
    read_weights,
)
from tinier_yolo.errors import PathLike
from tinier_yolo.training.model import batch_norm_after
from tinier_yolo.training.widen import narrower_twins, widen


def load_initial(path: PathLike, network: Network) -> Parameters:
    """The arrays to start from, out of a .weights file of the network, of its float twin, or of one half as wide.

    Raises:
        WeightsError: the file fits none.
    """
    return _initial(read_weights(path), network, path)


def _initial(data: bytes, network: Network, path: PathLike) -> Parameters:
    values = (len(data) - read_header(data, path).size) / 4
    plan = _twin_plan(network)
    if values not in (count_values(network), _count(plan)):
        for narrow in narrower_twins(network):
            if values in (count_values(narrow), _count(_twin_plan(narrow))):
                return widen(_initial(data, narrow, path), narrow, network)
    if _count(plan) == count_values(network) or values != _count(plan):
        return parse_weights(data, network, path)
    parameters: list[dict[str, np.ndarray]] = [
        {name: np.zeros(shape, np.float32) for name, shape in layer.parameters} for layer in network.layers
    ]
    owner = f"the float twin of {network.path}"
    for (index, name, _), array in zip(plan, parse_arrays(data, plan, path, owner), strict=True):
        parameters[index][name] = array
    for layer, arrays in zip(network.layers, parameters, strict=True):
        if isinstance(layer, BatchNorm):
            rescale(arrays)
    return tuple(parameters)


def rescale(arrays: dict[str, np.ndarray]) -> None:
    """Bring the scales and shifts of a float network's batch normalisation to a size that HWGQ expects, in place."""
    # HWGQ expects inputs of unit variance. What the float network learned of the channels' relative strength is kept;
    # their common scale is not.
    size = float(np.abs(arrays["scales"]).mean()) or 1.0
    arrays["scales"] = arrays["scales"] / size
    arrays["biases"] = arrays["biases"] / size


def twin_arrays(network: Network, index: int, follower: int) -> list[tuple[int, str, tuple[int, ...]]]:
    """(layer index, array, shape) of the twin's layer at ``index``, whose batch normalisation is ``follower`` here.

    In the order of the twin's file: the weights of a [connected] stand behind its biases, a convolution's at the end.
    """
    arrays = [(follower, name, shape) for name, shape in network.layers[follower].parameters]
    layer = network.layers[index]
    place = 1 if isinstance(layer, Connected) else len(arrays)
    arrays.insert(place, (index, "weights", dict(layer.parameters)["weights"]))
    return arrays


def _count(plan: ArrayList) -> int:
    return sum(int(np.prod(shape)) for _, _, shape in plan)


def _twin_plan(network: Network) -> list[tuple[int, str, tuple[int, ...]]]:
    """(layer index, array, shape) in the order of the twin's file."""
    plan: list[tuple[int, str, tuple[int, ...]]] = []
    for index, layer in enumerate(network.layers):
        follower = batch_norm_after(network.layers, index)
        if isinstance(layer, BatchNorm):
            continue  # read with its convolution
        if follower is not None:
            plan += twin_arrays(network, index, follower)
        else:
            plan += [(index, name, shape) for name, shape in layer.parameters]
    return plan
