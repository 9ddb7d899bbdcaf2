"""Network -> substructures, quantised or not. Source: IFQ-Net, section 3.1.

A substructure is a run of layers that starts with a convolution, or a connected layer, which is a convolution over the
whole map. It is quantised when it reads {convolution, [max
pool], [batch norm], quantisation}: everything between its integers in and its integers out is composed into integer
thresholds. The layers between quantised substructures form substructures of their own, which are not quantised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tinier_yolo.darknet.layers import (
    Activation,
    BatchNorm,
    Connected,
    Convolutional,
    Cost,
    Dropout,
    Layer,
    MaxPool,
    Region,
    Softmax,
)
from tinier_yolo.darknet.network import MAX_WINDOW, Network
from tinier_yolo.errors import ConversionError

LayerT = TypeVar("LayerT", bound=Layer)

#: Layers that do nothing between input and output map: for training only, or read after the last map.
_IDLE = (Region, Dropout, Cost, Softmax)


@dataclass(frozen=True)
class Substructure:
    """Consecutive layers of a network.

    Attributes:
        start: the index of the first one in ``Network.layers``.
        layers: the layers.
        quantized: whether they form a quantised substructure.
    """

    start: int
    layers: tuple[Layer, ...]
    quantized: bool

    @property
    def convolution(self) -> Convolutional:
        """The convolution at its head.

        Raises:
            ConversionError: it begins with another layer.
        """
        head = self.layers[0]
        if isinstance(head, Connected):
            return convolution_of(head)
        if not isinstance(head, Convolutional):
            raise refusal(head, "no integer form is known for this layer")
        return head

    @property
    def pool(self) -> MaxPool | None:
        """Its max pool."""
        return _only(self.layers, MaxPool)

    @property
    def norm(self) -> BatchNorm | None:
        """Its [batchnorm], not counting the convolution's own."""
        return _only(self.layers, BatchNorm)

    @property
    def quantizer(self) -> Activation | None:
        """Its quantisation layer."""
        return _only([layer for layer in self.layers if _is_quantizer(layer)], Activation)


def divide(network: Network) -> tuple[Substructure, ...]:
    """The substructures of a network in order; layers that compute nothing at inference are in none of them."""
    layers, found, position = network.layers, [], 0
    while position < len(layers):
        if length := _quantized_length(layers, position):
            found.append(Substructure(position, layers[position : position + length], True))
        else:
            length = _other_length(layers, position)
            kept = tuple(layer for layer in layers[position : position + length] if not isinstance(layer, _IDLE))
            if kept:
                found.append(Substructure(layers.index(kept[0]), kept, False))
        position += length
    return tuple(found)


def integer_chain(network: Network) -> tuple[Substructure, ...]:
    """The substructures of a network that has an integer program: all quantised but the last, a bare convolution.

    Raises:
        ConversionError: there is a substructure of another kind; names its line.
    """
    substructures = divide(network)
    if not substructures:
        raise refusal(network.layers[0], "a network without a convolution")
    *quantized, last = substructures
    for substructure in quantized:
        if not substructure.quantized:
            raise _not_quantized(substructure.layers)
        pool = substructure.pool
        if pool is not None and pool.padding - pool.padding // 2 >= pool.size:
            raise refusal(pool, "a window that holds padding alone")
    head, *rest = last.layers
    if last.quantized:
        raise refusal(head, "the last convolution is quantised: there is no output map")
    several = any(isinstance(layer, Convolutional | Connected) for layer in rest)
    if not isinstance(head, Convolutional | Connected) or not head.binary or head.activation != "linear" or several:
        raise _not_quantized(last.layers)
    if [layer.kind for layer in rest] not in ([], ["batchnorm"]) or (rest and head.batch_normalize):
        raise refusal(rest[0], "the last substructure is not {convolution, [batch norm]}")
    return (*quantized, last)


def convolution_of(layer: Connected) -> Convolutional:
    """A connected layer as a convolution over the whole map.

    Raises:
        ConversionError: the map is not square, or larger than a convolution's window may be.
    """
    _, height, width = layer.input
    if height != width or height > MAX_WINDOW:
        problem = f"no integer form of a connected layer over a map of {width}x{height} (square, at most {MAX_WINDOW})"
        raise refusal(layer, problem)
    return layer.as_convolution()


def _not_quantized(layers: Sequence[Layer]) -> ConversionError:
    following = (i for i in range(1, len(layers)) if isinstance(layers[i], Convolutional | Connected))
    return refusal(layers[0], f"not a quantised substructure: {obstacle(layers[: next(following, None)])}")


def obstacle(layers: Sequence[Layer]) -> str | None:
    """Why these layers, which begin with a convolution, are no quantised substructure; None where they are one."""
    head = layers[0]
    if not isinstance(head, Convolutional | Connected):
        return "it does not begin with a convolution"
    if not head.binary:
        return "its convolution lacks binary=1"
    if head.activation != "linear":
        return f"its convolution has activation={head.activation} (expected linear)"
    kinds = [layer.kind for layer in layers[1:]]
    expected = [kind for kind in ("maxpool", "batchnorm") if kind in kinds] + ["activation"]
    if kinds != expected or not _is_quantizer(layers[-1]):
        return "it is not {convolution, [max pool], [batch norm], activation=hwgq}"
    if head.batch_normalize and len(kinds) > 1:
        return "batch_normalize=1 stands before a [maxpool] or [batchnorm] (pooling comes before batch norm: Eq. 4)"
    return None


def refusal(layer: Layer, problem: str) -> ConversionError:
    """A ConversionError that names the layer's line in the cfg."""
    place = f"line {layer.section.line}, [{layer.kind}]"
    return ConversionError(problem, path=layer.section.path, place=place)


def _quantized_length(layers: Sequence[Layer], start: int) -> int:
    if isinstance(layers[start], Convolutional | Connected):
        for length in range(2, 5):
            if start + length <= len(layers) and obstacle(layers[start : start + length]) is None:
                return length
    return 0


def _other_length(layers: Sequence[Layer], start: int) -> int:
    length = 1
    while start + length < len(layers) and not _quantized_length(layers, start + length):
        length += 1
    return length


def _is_quantizer(layer: Layer) -> bool:
    return isinstance(layer, Activation) and layer.quantizes


def _only(layers: Sequence[Layer], kind: type[LayerT]) -> LayerT | None:
    return next((layer for layer in layers if isinstance(layer, kind)), None)
