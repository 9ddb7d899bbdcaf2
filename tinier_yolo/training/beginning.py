"""A start from a part of a .weights file: its first layers, or all but a last convolution for other classes.

``darknet partial`` writes the first layers of a network for a start from elsewhere (``yolov2-tiny.conv.13``). What the
file holds is taken, the layers behind stay random. The size of the file says what it is; as in
:mod:`tinier_yolo.training.initialize` it may be the network's own or its float twin's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinier_yolo.darknet.layers import BatchNorm, Connected, Convolutional, Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, parse_arrays, read_header, read_weights
from tinier_yolo.errors import PathLike, WeightsError
from tinier_yolo.training.initialize import load_initial, rescale, twin_arrays
from tinier_yolo.training.model import batch_norm_after

#: (layer index, array, shape) of the arrays of a file that belong together.
Group = list[tuple[int, str, tuple[int, ...]]]


class Start(NamedTuple):
    """Arrays to start from, and how many of the network's layers with arrays are from the file."""

    parameters: Parameters
    taken: int
    layers: int


class _Fit(NamedTuple):
    # The groups that a file holds, how many values follow them, and whether it is the twin's.
    groups: Sequence[Group]
    rest: int
    is_twin: bool


def load_start(path: PathLike, network: Network, drawn: Parameters) -> Start:
    """The arrays to start from, out of a whole file (:func:`load_initial`) or a part of one.

    Args:
        path: a .weights file.
        network: the network.
        drawn: random arrays, for the layers that the file does not have.

    Raises:
        WeightsError: the file fits in neither way.
    """
    own = [group for index, layer in enumerate(network.layers) if (group := [(index, *a) for a in layer.parameters])]
    try:
        return Start(load_initial(path, network), len(own), len(own))
    except WeightsError:
        data, twin = read_weights(path), _twin_groups(network)
        fit = _fit((len(data) - read_header(data, path).size) // 4, network, own, twin)
        if fit is None:
            raise
    parameters = [dict(arrays) for arrays in drawn]
    wanted = [array for group in fit.groups for array in group]
    arrays = parse_arrays(data, [*wanted, (len(network.layers), "rest", (fit.rest,))], path, network.path)
    for (index, name, _), array in zip(wanted, arrays, strict=False):
        parameters[index][name] = array
    if fit.is_twin:
        _adapt(network, parameters, wanted)
    return Start(tuple(parameters), len(fit.groups), len(twin if fit.is_twin else own))


def _adapt(network: Network, parameters: list[dict[str, np.ndarray]], read: Group) -> None:
    # The twin's norms have another scale, and its convolutions before them no biases.
    for index in {index for index, _, _ in read}:
        if isinstance(network.layers[index], BatchNorm):
            rescale(parameters[index])
        elif "biases" not in {name for number, name, _ in read if number == index}:
            parameters[index]["biases"] = np.zeros_like(parameters[index]["biases"])


def _fit(values: int, network: Network, own: Sequence[Group], twin: Sequence[Group]) -> _Fit | None:
    # The first that fits: the beginning of a file, or one for other classes.
    plans = ((own, False), (twin, True))
    for groups, is_twin in plans:
        for count in range(len(groups) - 1, 0, -1):
            if values == _values(groups[:count]):
                return _Fit(groups[:count], 0, is_twin)
    for groups, is_twin in plans:
        rest = values - _values(groups[:-1])
        if len(groups) > 1 and _is_for_other_classes(rest, network, groups[-1]):
            return _Fit(groups[:-1], rest, is_twin)
    return None


def _is_for_other_classes(rest: int, network: Network, last: Group) -> bool:
    # Whether so many values are the last layer for another number of classes, at least one: of a detector a convolution
    # of num * (5 + classes) filters.
    region, layer = network.layers[-1], network.layers[last[-1][0]]
    if not isinstance(layer, Convolutional | Connected):
        return False
    filters, left = divmod(rest, _values([last]) // layer.output.channels)
    if not isinstance(region, Region):
        return network.is_classifier and left == 0 and filters >= 1
    return left == 0 and filters % len(region.anchors) == 0 and filters >= 6 * len(region.anchors)


def _values(groups: Sequence[Group]) -> int:
    return sum(math.prod(shape) for group in groups for _, _, shape in group)


def _twin_groups(network: Network) -> list[Group]:
    """The groups of the twin's file: a convolution with the batch normalisation that follows it."""
    groups: list[Group] = []
    for index, layer in enumerate(network.layers):
        follower = batch_norm_after(network.layers, index)
        if follower is not None:
            groups.append(twin_arrays(network, index, follower))
        elif layer.parameters and not isinstance(layer, BatchNorm):  # A norm is read with its convolution.
            groups.append([(index, *array) for array in layer.parameters])
    return groups
