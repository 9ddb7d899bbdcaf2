"""The table of a network's layers: shapes, bits, bytes and multiply-accumulates.

Bits and bytes are those of the form in which the network is shipped: the .ifq where it has an integer program, the
.weights where it has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tinier_yolo.darknet.layers import Activation, Connected, Convolutional, Cost, Dropout, Layer, MaxPool, Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.ifq.tensors import bit_tensor, input_bits, substructure_tensors

_FLOAT_BITS = 32


@dataclass(frozen=True)
class Row:
    """One layer. Bits are None where nothing is stored; bytes are those of the network's final form.

    Attributes:
        name: kind and geometry.
        output: width x height x channels.
        weight_bits: bits of a weight.
        map_bits: bits of a value of the output map: levels, float32, or the int32 of an integer program's output.
        parameters: numbers in the .weights file.
        size: bytes in the .ifq of a quantised network, in the .weights of another.
        macs: multiply-accumulates for one image.
        map_size: bytes of the output map.
    """

    name: str
    output: str
    weight_bits: int | None
    map_bits: int | None
    parameters: int
    size: int
    macs: int
    map_size: int


def rows(network: Network) -> tuple[Row, ...]:
    """One row for each layer of a network."""
    integer = _integer_form(network)
    return tuple(_row(layer, integer.get(index)) for index, layer in enumerate(network.layers))


def _row(layer: Layer, integer: tuple[int, int | None] | None) -> Row:
    parameters = sum(math.prod(shape) for _, shape in layer.parameters)
    if integer is not None:
        size, map_bits = integer
    else:
        size, map_bits = 4 * parameters, None if isinstance(layer, Region | Dropout | Cost) else _FLOAT_BITS
    weight_bits = None
    if isinstance(layer, Convolutional | Connected):
        weight_bits = 1 if layer.binary else _FLOAT_BITS
    cells = layer.output.height * layer.output.width
    return Row(
        name=_name(layer),
        output=str(layer.output),
        weight_bits=weight_bits,
        map_bits=map_bits,
        parameters=parameters,
        size=size,
        macs=layer.macs,
        map_size=cells * -(-layer.output.channels * (map_bits or 0) // 8),
    )


def _name(layer: Layer) -> str:
    if isinstance(layer, Convolutional):
        return f"{layer.kind} {layer.size}x{layer.size}/{layer.stride}"
    if isinstance(layer, MaxPool):
        return f"{layer.kind} {layer.size}x{layer.size}/{layer.stride}"
    if isinstance(layer, Activation):
        return f"{layer.kind} {layer.activation}"
    if isinstance(layer, Region):
        return f"{layer.kind} {len(layer.anchors)} anchors"
    return layer.kind


def _integer_form(network: Network) -> Mapping[int, tuple[int, int | None]]:
    # Bytes in the .ifq and bits of the output map, by layer: sign bits, then thresholds and flips in place of biases
    # and batch norm, and no map before them. Empty for a network that has no integer program.
    form: dict[int, tuple[int, int | None]] = {}
    try:
        chain = integer_chain(network)
        for part, bits in zip(chain, input_bits(chain), strict=True):
            sizes = {name: tensor.nbytes for name, tensor in substructure_tensors(part, bits).items()}
            weights = sizes.pop("weights")
            rest = sum(sizes.values())
            places = range(part.start, part.start + len(part.layers))
            form |= dict.fromkeys(places, (0, None))
            if part.quantizer is not None:
                form[part.start] = weights, None
                form[places[-1]] = rest + bit_tensor(part.convolution.filters).nbytes, part.quantizer.bits
            else:
                form[part.start] = weights + rest, None
                form[places[-1]] = form[places[-1]][0], _FLOAT_BITS
    except ConversionError:
        return {}
    return form
