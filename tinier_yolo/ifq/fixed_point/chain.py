"""Network -> the parts of a fixed-point program: a convolution with its activation and the max pool behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinier_yolo.darknet.layers import AvgPool, Connected, Convolutional, Cost, Dropout, Layer, MaxPool, Region, Softmax
from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq.substructures import convolution_of, refusal

#: Activations that are monotone and have an integer form, so that a max pool may stand before or behind them.
ACTIVATIONS = ("linear", "leaky", "relu")
_IDLE = (Region, Dropout, Cost, Softmax)


@dataclass(frozen=True)
class Part:
    """A convolution and what belongs to it.

    Attributes:
        start: the convolution's index in ``Network.layers``.
        convolution: the convolution, batch norm and activation included.
        pool: the max pool that follows, or None.
    """

    start: int
    convolution: Convolutional
    pool: MaxPool | None

    @property
    def name(self) -> str:
        """Its geometry in short: "3x3/1 16 leaky, pool"."""
        own = self.convolution
        pool = ", pool" if self.pool else ""
        return f"{own.size}x{own.size}/{own.stride} {own.filters} {own.activation}{pool}"

    @property
    def signed(self) -> bool:
        """Whether its output map may have negative values."""
        return self.convolution.activation != "relu"


def fixed_point_chain(network: Network) -> tuple[Part, ...]:
    """The parts of a float network, in order.

    Raises:
        ConversionError: it has a layer without a fixed-point form; names its line.
    """
    parts: list[Part] = []
    _refuse_binary(network)
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Convolutional | Connected):
            if layer.activation not in ACTIVATIONS:
                raise refusal(layer, f"no fixed-point form of activation={layer.activation}")
            parts.append(Part(index, layer if isinstance(layer, Convolutional) else convolution_of(layer), None))
        elif isinstance(layer, AvgPool) and parts and _is_read_last(network.layers[index + 1 :]):
            continue
        elif isinstance(layer, MaxPool) and parts and parts[-1].pool is None:
            if layer.padding - layer.padding // 2 >= layer.size:
                raise refusal(layer, "a window that holds padding alone")
            parts[-1] = Part(parts[-1].start, parts[-1].convolution, layer)
        elif not isinstance(layer, _IDLE):
            raise refusal(layer, "no fixed-point form of this layer here")
    if not parts:
        raise refusal(network.layers[0], "a network without a convolution")
    return tuple(parts)


def _refuse_binary(network: Network) -> None:
    # Before all else: the other layers of such a network have no form here either.
    for layer in network.layers:
        if isinstance(layer, Convolutional | Connected) and layer.binary:
            raise refusal(layer, "a binary layer: fixed point after training is for float networks")


def _is_read_last(behind: Sequence[Layer]) -> bool:
    # The mean over the last map is taken by whoever reads it: a sum of integers needs no format.
    return all(isinstance(layer, _IDLE) for layer in behind)
