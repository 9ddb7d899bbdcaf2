"""Where a run begins: random weights, or a .weights file that fits the network.

That is one of the same network, of its float twin, of the first layers of either, or of a network half as wide.

The float twin of an IFQ network has a batch normalisation inside each convolution where the IFQ network has a
[batchnorm] after its pool: ``[convolutional] batch_normalize=1`` against ``[convolutional] binary=1`` / ``[maxpool]`` /
``[batchnorm]``. Both have the same arrays but for the convolutions' own biases, which the twin lacks.

A file may end after any layer, as what ``darknet partial`` writes for a start from elsewhere (``yolov2-tiny.conv.13``),
or have a last convolution for another number of classes. What it holds for the layers before is taken; the others stay
random. Its size says which of these it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinier_yolo.darknet.layers import BatchNorm, Convolutional, Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, parse_arrays, parse_weights, read_header, read_weights
from tinier_yolo.errors import PathLike
from tinier_yolo.training.model import batch_norm_after
from tinier_yolo.training.widen import narrower_twins, widen

#: (layer index, array, shape) of the arrays of a file that belong together.
Group = list[tuple[int, str, tuple[int, ...]]]


class Initial(NamedTuple):
    """Arrays to start from, and how many of the network's layers with arrays are from the file."""

    parameters: Parameters
    taken: int
    layers: int


class _Fit(NamedTuple):
    # The groups that a file holds, how many values follow them, and whether it is the twin's.
    groups: Sequence[Group]
    rest: int
    is_twin: bool


def load_initial(path: PathLike, network: Network, drawn: Parameters) -> Initial:
    """The arrays to start from.

    Args:
        path: a .weights file of the network, of its float twin, of the beginning of one of them, or of a network half
            as wide.
        network: the network.
        drawn: random arrays, for the layers that the file does not have.

    Raises:
        WeightsError: the file fits none of them.
    """
    plans = _own_groups(network), _twin_groups(network)
    data = read_weights(path)
    return _widened(data, network, path, plans) or _initial(data, network, path, plans, drawn)


def _widened(data: bytes, network: Network, path: PathLike, plans: tuple[Sequence[Group], ...]) -> Initial | None:
    """From the whole file of a narrower network; None where it is none, or fits the network as it is."""
    values = (len(data) - read_header(data, path).size) // 4
    if values in [_values(plan) for plan in plans]:
        return None
    for narrow in narrower_twins(network):
        narrow_plans = _own_groups(narrow), _twin_groups(narrow)
        if values in [_values(plan) for plan in narrow_plans]:
            empty = tuple(
                {name: np.zeros(shape, np.float32) for name, shape in layer.parameters} for layer in narrow.layers
            )
            found = _initial(data, narrow, path, narrow_plans, empty)
            return Initial(widen(found.parameters, narrow, network), len(plans[0]), len(plans[0]))
    return None


def _initial(
    data: bytes, network: Network, path: PathLike, plans: tuple[Sequence[Group], ...], drawn: Parameters
) -> Initial:
    fit = _fit((len(data) - read_header(data, path).size) // 4, network, *plans)
    if fit is None:
        return Initial(parse_weights(data, network, path), len(plans[0]), len(plans[0]))  # Says what is wrong.
    parameters = [dict(arrays) for arrays in drawn]
    plan = [array for group in fit.groups for array in group]
    owner = f"the float twin of {network.path}" if fit.is_twin else network.path
    arrays = parse_arrays(data, [*plan, (len(network.layers), "rest", (fit.rest,))], path, owner)
    for (index, name, _), array in zip(plan, arrays, strict=False):
        parameters[index][name] = array
    for index in {index for index, _, _ in plan} if fit.is_twin else ():
        if isinstance(network.layers[index], BatchNorm):
            _rescale(parameters[index])
        elif "biases" not in {name for number, name, _ in plan if number == index}:
            parameters[index]["biases"] = np.zeros_like(parameters[index]["biases"])
    return Initial(tuple(parameters), len(fit.groups), len(plans[fit.is_twin]))


def _own_groups(network: Network) -> list[Group]:
    own = ([(index, *array) for array in layer.parameters] for index, layer in enumerate(network.layers))
    return [group for group in own if group]


def _fit(values: int, network: Network, own: Sequence[Group], twin: Sequence[Group]) -> _Fit | None:
    # The first that fits: a whole file, its beginning, or one for other classes.
    plans = ((own, False), (twin, True))
    for groups, is_twin in plans:
        if values == _values(groups):
            return _Fit(groups, 0, is_twin)
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
    # Whether so many values are the last convolution with num * (5 + classes) filters for at least one class.
    region, layer = network.layers[-1], network.layers[last[-1][0]]
    if not isinstance(region, Region) or not isinstance(layer, Convolutional):
        return False
    filters, left = divmod(rest, _values([last]) // layer.filters)
    return left == 0 and filters % len(region.anchors) == 0 and filters >= 6 * len(region.anchors)


def _values(groups: Sequence[Group]) -> int:
    return sum(math.prod(shape) for group in groups for _, _, shape in group)


def _rescale(arrays: dict[str, np.ndarray]) -> None:
    # HWGQ expects inputs of unit variance. What the float network learned of the channels' relative strength is kept;
    # their common scale is not.
    size = float(np.abs(arrays["scales"]).mean()) or 1.0
    arrays["scales"] = arrays["scales"] / size
    arrays["biases"] = arrays["biases"] / size


def _twin_groups(network: Network) -> list[Group]:
    """The groups of the twin's file: a convolution with the batch normalisation that follows it."""
    groups: list[Group] = []
    for index, layer in enumerate(network.layers):
        follower = batch_norm_after(network.layers, index)
        if follower is not None:
            norm = network.layers[follower]
            weights = (index, "weights", dict(layer.parameters)["weights"])
            groups.append([*((follower, *array) for array in norm.parameters), weights])
        elif layer.parameters and not isinstance(layer, BatchNorm):  # A norm is read with its convolution.
            groups.append([(index, *array) for array in layer.parameters])
    return groups
