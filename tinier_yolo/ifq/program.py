"""Program: a network as integers alone, what conversion makes and the runtime runs; its file is the .ifq.

Tensors of the file, ``N`` being the number of the substructure from 0:

    N.weights      uint8    sign bits (1 for +1) in (filter, channel, row, column) order, lowest bit first
    N.thresholds   int16/32 (filters, 2^k - 1), ascending: level = how many of them the accumulator exceeds
    N.multipliers, N.biases  int32 (filters,), of the last one: output = multiplier * accumulator + bias
    flips          uint8    one bit a filter of all layers, lowest first; where set, level = 2^k - 1 - how many
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Convolutional, MaxPool
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import PathLike, ProgramError, TinierYoloError
from tinier_yolo.files import atomic_write
from tinier_yolo.ifq import container
from tinier_yolo.ifq.substructures import Substructure, integer_chain, refusal

Int32 = NDArray[np.int32]

#: The bits of a level of the image, which is the first map.
IMAGE_BITS = 8
#: Accumulators beyond this would make the exhaustive proof long and leave int32 behind in the kernels.
MAX_LIMIT = 1 << 24


@dataclass(frozen=True, eq=False)
class BinaryConvolution:
    """A convolution with weights +1 and -1 over unsigned levels.

    Attributes:
        convolution: its geometry.
        input_bits: the bits of a level of its input map.
        packed: uint8, the sign bits as the file holds them.
    """

    convolution: Convolutional
    input_bits: int
    packed: NDArray[np.uint8]

    @property
    def signs(self) -> NDArray[np.int8]:
        """The weights, int8 (filters, channels, size, size), +1 or -1."""
        shape = self.convolution.weight_shape
        bits = np.unpackbits(self.packed, count=math.prod(shape), bitorder="little")
        return (2 * bits.astype(np.int8) - 1).reshape(shape)

    @property
    def limit(self) -> int:
        """The greatest absolute value that an accumulator can have."""
        return accumulator_limit(self.convolution, self.input_bits)


@dataclass(frozen=True, eq=False)
class QuantizedLayer(BinaryConvolution):
    """A quantised substructure: convolution, max pool over the accumulators, thresholds.

    Attributes:
        pool: the max pool's geometry, or None.
        bits: the bits of a level of its output map.
        thresholds: int32 (filters, 2^bits - 1), ascending.
        flips: bool (filters,).
    """

    pool: MaxPool | None
    bits: int
    thresholds: Int32
    flips: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OutputLayer(BinaryConvolution):
    """The last convolution: output = multiplier * accumulator + bias.

    Attributes:
        multipliers: int32 (filters,).
        biases: int32 (filters,).
    """

    multipliers: Int32
    biases: Int32


@dataclass(frozen=True, eq=False)
class Program:
    """A network as integers.

    Attributes:
        network: the network of the stored cfg text.
        layers: the quantised substructures in order.
        output: the last convolution.
        class_names: a name for each class.
        fraction_bits: m: the output map is in units of 2^-m.
        provenance: where the weights came from.
        proof: what was enumerated at conversion.
    """

    network: Network
    layers: tuple[QuantizedLayer, ...]
    output: OutputLayer
    class_names: tuple[str, ...]
    fraction_bits: int
    provenance: Mapping[str, str] = field(default_factory=dict)
    proof: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: PathLike) -> Program:
        """Read an .ifq file.

        Raises:
            ProgramError: it cannot be read, is damaged, or is no program that this version runs.
        """
        return cls.from_bytes(container.read(path), path)

    @classmethod
    def from_bytes(cls, data: bytes, path: PathLike = "<ifq>") -> Program:
        """The program that the bytes of an .ifq file hold; ``path`` is the name that errors give.

        Raises:
            ProgramError: see :meth:`load`.
        """
        tensors, metadata = container.unpack(data, path)
        try:
            program = _build(tensors, metadata, path)
        except (KeyError, ValueError, TypeError) as error:
            raise ProgramError("not a program", path=path, found=str(error)[:80]) from error
        except TinierYoloError as error:
            problem = f"not a program: {error.problem}"
            raise ProgramError(
                problem, path=path, place=error.place, expected=error.expected, found=error.found
            ) from error
        if program.to_bytes() != data:
            raise ProgramError("metadata that contradict each other", path=path)
        return program

    def to_bytes(self) -> bytes:
        """The bytes of its .ifq file, the same for the same program."""
        return container.pack(_tensors(self), _texts(self))

    def save(self, path: PathLike) -> None:
        """Write its .ifq file, whole or not at all.

        Raises:
            ProgramError: the file cannot be written.
        """
        with atomic_write(path, error=ProgramError) as file:
            file.write(self.to_bytes())

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata of its .ifq file, format, version and checksum among them."""
        return container.unpack(self.to_bytes())[1]


def accumulator_limit(convolution: Convolutional, input_bits: int) -> int:
    """The greatest absolute value of a sum of +-levels: the highest level times the weights of a filter.

    Raises:
        ConversionError: it is beyond MAX_LIMIT.
    """
    limit = ((1 << input_bits) - 1) * math.prod(convolution.weight_shape[1:])
    if limit > MAX_LIMIT:
        raise refusal(convolution, f"an accumulator that reaches {limit}, beyond {MAX_LIMIT}")
    return limit


def packed_size(convolution: Convolutional) -> int:
    """The bytes of its sign bits."""
    return -(-math.prod(convolution.weight_shape) // 8)


def threshold_type(limit: int) -> type[np.int16] | type[np.int32]:
    """The narrowest type that holds every threshold, which lie within [-limit - 1, limit + 1]."""
    return np.int16 if limit + 1 <= np.iinfo(np.int16).max else np.int32


def _texts(program: Program) -> dict[str, str]:
    return {
        "cfg": program.network.text,
        "names": _json(list(program.class_names)),
        "resize": "letterbox" if program.network.options.letter_box else "stretch",
        "colours": "rgb",
        "fraction_bits": str(program.fraction_bits),
        "thresholds": "explicit",
        "provenance": _json(program.provenance),
        "proof": _json(program.proof),
    }


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _tensors(program: Program) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for number, layer in enumerate((*program.layers, program.output)):
        tensors[f"{number}.weights"] = layer.packed
        if isinstance(layer, QuantizedLayer):
            tensors[f"{number}.thresholds"] = layer.thresholds.astype(threshold_type(layer.limit))
        elif isinstance(layer, OutputLayer):
            tensors[f"{number}.multipliers"] = layer.multipliers
            tensors[f"{number}.biases"] = layer.biases
    flips = [layer.flips for layer in program.layers]
    tensors["flips"] = np.packbits(np.concatenate([*flips, np.zeros(0, np.bool_)]), bitorder="little")
    return tensors


def _build(tensors: dict[str, NDArray[Any]], metadata: Mapping[str, str], path: PathLike) -> Program:
    network = Network.parse(metadata["cfg"], str(path))
    *quantized, last = integer_chain(network)
    filters = [substructure.convolution.filters for substructure in quantized]
    bitmap = _take(tensors, "flips", np.uint8, (-(-sum(filters) // 8),))
    flips = np.unpackbits(bitmap, count=sum(filters), bitorder="little").astype(np.bool_)
    layers: list[QuantizedLayer] = []
    bits = IMAGE_BITS
    for number, (substructure, own) in enumerate(zip(quantized, np.split(flips, np.cumsum(filters)), strict=False)):
        layers.append(_quantized_layer(tensors, number, substructure, bits, own))
        bits = layers[-1].bits
    output = _output_layer(tensors, len(layers), last.convolution, bits)
    if tensors:
        raise ValueError(f"tensor {next(iter(tensors))} belongs to no layer")
    names, provenance, proof = (json.loads(metadata[key]) for key in ("names", "provenance", "proof"))
    return Program(network, tuple(layers), output, tuple(names), int(metadata["fraction_bits"]), provenance, proof)


def _quantized_layer(
    tensors: dict[str, NDArray[Any]], number: int, substructure: Substructure, bits: int, flips: NDArray[np.bool_]
) -> QuantizedLayer:
    convolution, quantizer = substructure.convolution, substructure.quantizer
    assert quantizer is not None, "integer_chain lets no other through"
    limit = accumulator_limit(convolution, bits)
    packed = _take(tensors, f"{number}.weights", np.uint8, (packed_size(convolution),))
    shape = (convolution.filters, (1 << quantizer.bits) - 1)
    thresholds = _take(tensors, f"{number}.thresholds", threshold_type(limit), shape).astype(np.int32)
    if (np.diff(thresholds, axis=1) < 0).any() or (np.abs(thresholds) > limit + 1).any():
        raise ValueError(f"{number}.thresholds are out of order or range")
    return QuantizedLayer(convolution, bits, packed, substructure.pool, quantizer.bits, thresholds, flips)


def _output_layer(tensors: dict[str, NDArray[Any]], number: int, convolution: Convolutional, bits: int) -> OutputLayer:
    packed = _take(tensors, f"{number}.weights", np.uint8, (packed_size(convolution),))
    multipliers = _take(tensors, f"{number}.multipliers", np.int32, (convolution.filters,))
    biases = _take(tensors, f"{number}.biases", np.int32, (convolution.filters,))
    limit = accumulator_limit(convolution, bits)
    if (np.abs(multipliers.astype(np.int64)) * limit + np.abs(biases.astype(np.int64)) > np.iinfo(np.int32).max).any():
        raise ValueError(f"{number}.multipliers let the output leave int32")
    return OutputLayer(convolution, bits, packed, multipliers, biases)


def _take(tensors: dict[str, NDArray[Any]], name: str, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    array = tensors.pop(name)
    if array.dtype != kind or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {np.dtype(kind)} {shape}")
    return array
