"""What the formats of a network's maps are chosen from: a sample of the values that calibration images give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import UsageError
from tinier_yolo.quantization.post_training.folding import Float32, Float64, FoldedLayer, float_maps, windows

#: Values that are kept of each map, over all images.
SAMPLE = 1 << 17
#: Places at which the moments of a layer's inputs are taken, over all images.
MOMENT_PLACES = 1 << 14


@dataclass(frozen=True, eq=False)
class MapStatistics:
    """The values of a map.

    Attributes:
        sample: float32 (n,), values at random places, as many of each image.
        deviation: root of the mean square of all values: the standard deviation of the mirrored distribution.
        lowest, highest: the ends of all values.
    """

    sample: Float32
    deviation: float
    lowest: float
    highest: float


def map_statistics(
    layers: Sequence[FoldedLayer], images: Iterable[NDArray[np.uint8]], count: int, seed: int = 0
) -> tuple[MapStatistics, ...]:
    """The statistics of every layer's output map.

    Args:
        layers: the float network.
        images: uint8 (height, width, channels), as the network takes them.
        count: how many they are.
        seed: of the places that are kept.

    Raises:
        UsageError: no images.
    """
    if count < 1:
        raise UsageError("no calibration images", expected="at least 1")
    rng = np.random.default_rng(seed)
    samples: list[list[Float32]] = [[] for _ in layers]
    squares, values = np.zeros(len(layers)), np.zeros(len(layers))
    lowest, highest = np.full(len(layers), np.inf), np.full(len(layers), -np.inf)
    for image in images:
        for number, made in enumerate(float_maps(tuple(layers), image)):
            flat = made.ravel()
            samples[number].append(flat[rng.integers(0, flat.size, max(1, SAMPLE // count))])
            squares[number] += float(np.square(flat, dtype=np.float64).sum())
            values[number] += flat.size
            lowest[number] = min(lowest[number], flat.min())
            highest[number] = max(highest[number], flat.max())
    deviations = np.sqrt(squares / values)
    statistics = (
        MapStatistics(np.concatenate(sample), *map(float, rest))
        for sample, *rest in zip(samples, deviations, lowest, highest, strict=True)
    )
    return tuple(statistics)


def input_moments(
    layers: Sequence[FoldedLayer], images: Iterable[NDArray[np.uint8]], count: int, seed: int = 0
) -> tuple[Float64, ...]:
    """The second moments of what the weights of each layer are multiplied with, and of a 1.

    Args:
        layers: the float network.
        images: as for :func:`map_statistics`.
        count: how many they are.
        seed: of the places that are looked at.

    Returns:
        For each layer float64 (n + 1, n + 1): the mean of x x^T over random places of its input map, x the n values
        under a filter in the order of its weights, and a 1.
    """
    rng, sums, places = np.random.default_rng(seed), [0.0 * np.eye(1)] * len(layers), np.zeros(len(layers))
    for image in images:
        values = image.transpose(2, 0, 1).astype(np.float32) / np.float32(256)
        for number, layer in enumerate(layers):
            seen = windows(values, layer.part.convolution)
            rows, columns = seen.shape[1:3]
            wanted = min(-(-MOMENT_PLACES // max(count, 1)), rows * columns)
            chosen = rng.choice(rows * columns, wanted, replace=False)
            own = seen[:, chosen // columns, chosen % columns].transpose(1, 0, 2, 3).reshape(wanted, -1)
            own = np.column_stack([own, np.ones(wanted, np.float32)])
            sums[number] = sums[number] + (own.T @ own).astype(np.float64)
            places[number] += wanted
            values = layer.run(values)
    return tuple(total / number for total, number in zip(sums, places, strict=True))
