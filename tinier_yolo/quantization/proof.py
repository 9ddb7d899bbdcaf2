"""The exhaustive proof: integer thresholds and float64 give the same level for every accumulator that there can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import ConversionError
from tinier_yolo.quantization.float64 import RealSubstructure
from tinier_yolo.quantization.hwgq import Quantizer

#: Accumulators of as many channels at once as make about this many values.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class LayerProof:
    """What was enumerated for one quantised substructure.

    Attributes:
        layer: the convolution's index in the network.
        channels: its filters.
        limit: every accumulator from -limit to limit was tried on each.
        constant: the channels whose level is the same for all of them.
    """

    layer: int
    channels: int
    limit: int
    constant: tuple[int, ...]

    @property
    def values(self) -> int:
        """The number of comparisons made: channels times accumulators."""
        return self.channels * (2 * self.limit + 1)


@dataclass(frozen=True)
class Proof:
    """The proofs of all quantised substructures."""

    layers: tuple[LayerProof, ...]

    @property
    def channels(self) -> int:
        """All channels proved."""
        return sum(layer.channels for layer in self.layers)

    @property
    def values(self) -> int:
        """All comparisons made."""
        return sum(layer.values for layer in self.layers)

    @property
    def constant(self) -> int:
        """All channels whose level never changes."""
        return sum(len(layer.constant) for layer in self.layers)

    def summary(self) -> dict[str, Any]:
        """What a program keeps of it: channels, comparisons, constant channels of each layer."""
        constant = [len(layer.constant) for layer in self.layers]
        return {"channels": self.channels, "values": self.values, "constant": constant}

    def __str__(self) -> str:
        lines = [
            f"layer {layer.layer:2}: {layer.channels:4} channels x accumulators -{layer.limit}..{layer.limit}: equal"
            + (f"; constant: {_shorten(layer.constant)}" if layer.constant else "")
            for layer in self.layers
        ]
        total = f"proved: {self.values:,} levels of {self.channels:,} channels, integer == float64"
        return "\n".join([*lines, f"{total}; {self.constant} channels constant"])


def prove(
    layer: int,
    thresholds: NDArray[np.integer],
    flips: NDArray[np.bool_],
    real: RealSubstructure,
    quantizer: Quantizer,
    limit: int,
) -> LayerProof:
    """Compare the level of every channel for every accumulator in [-limit, limit].

    Args:
        layer: the convolution's index, for the report.
        thresholds: (filters, 2^k - 1) as :func:`integer_thresholds` gives them.
        flips: (filters,).
        real: the same substructure in float64.
        quantizer: its quantiser.
        limit: the greatest absolute value of an accumulator.

    Raises:
        ConversionError: a level differs; names the layer, the channel and the accumulator.
    """
    accumulators = np.arange(-limit, limit + 1, dtype=np.int64)
    step = max(1, _BLOCK // len(accumulators))
    constant: list[int] = []
    for first in range(0, len(thresholds), step):
        block = slice(first, first + step)
        found = count_levels(accumulators, thresholds[block], flips[block])
        expected = quantizer.quantize(real[block].values(accumulators[None].astype(np.float64)))
        wrong = np.argwhere(found != expected)
        if len(wrong):
            channel, index = wrong[0]
            raise ConversionError(
                "the integer thresholds are not those of the float network",
                place=f"layer {layer}, channel {first + channel}, accumulator {accumulators[index]}",
                expected=f"level {expected[channel, index]}",
                found=f"level {found[channel, index]}",
            )
        same = (found == found[:, :1]).all(axis=1)
        constant.extend((first + np.flatnonzero(same)).tolist())
    return LayerProof(layer, len(thresholds), limit, tuple(constant))


def count_levels(
    accumulators: NDArray[np.integer], thresholds: NDArray[np.integer], flips: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The levels, uint8 (filters, n), that integer thresholds give to each of n accumulators."""
    counts = np.zeros((len(thresholds), len(accumulators)), np.uint8)
    for column in thresholds.T:
        counts += accumulators > column[:, None]
    highest = np.uint8(thresholds.shape[1])
    return np.where(flips[:, None], highest - counts, counts)


def _shorten(channels: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, channels[:8]))
    return shown if len(channels) <= 8 else f"{shown}, ... ({len(channels)} in all)"
