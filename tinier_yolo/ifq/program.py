"""Program: a network as integers alone, what conversion makes and the runtime runs; its file is the .ifq."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Convolutional, MaxPool, Region, Shape
from tinier_yolo.darknet.network import Network, check_map
from tinier_yolo.errors import PathLike, ProgramError, TinierYoloError
from tinier_yolo.ifq import container
from tinier_yolo.ifq.limits import Work, check
from tinier_yolo.ifq.metadata import Facts, check_facts, read_facts, texts
from tinier_yolo.ifq.substructures import Substructure, integer_chain
from tinier_yolo.ifq.tensors import (
    TensorType,
    accumulator_limit,
    bit_tensor,
    input_bits,
    pack_bits,
    substructure_tensors,
    unpack_bits,
)

Int32 = NDArray[np.int32]


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
    def sign_bits(self) -> NDArray[np.bool_]:
        """The weights (filters, channels, size, size): True for +1, False for -1; unpacked anew at each call."""
        return unpack_bits(self.packed, self.convolution.weight_shape)

    @property
    def signs(self) -> NDArray[np.int8]:
        """The weights as numbers, int8 (filters, channels, size, size), +1 or -1."""
        return 2 * self.sign_bits.astype(np.int8) - 1

    @property
    def limit(self) -> int:
        """The greatest absolute value that an accumulator can have."""
        return accumulator_limit(self.convolution, self.input_bits)

    def convolved(self, shape: Shape) -> Shape:
        """The shape of its accumulators, before any pool, where its input map has this shape."""
        return self.convolution.output_for(shape)

    def output(self, shape: Shape) -> Shape:
        """The shape of its output map where its input map has this shape."""
        return self.convolved(shape)

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates for an input map of this shape."""
        return self.convolution.macs_for(shape)


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

    def output(self, shape: Shape) -> Shape:
        """The shape of its output map, pooled where it has a pool, where its input map has this shape."""
        convolved = self.convolved(shape)
        return convolved if self.pool is None else self.pool.output_for(convolved)


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
class Program(container.Stored):
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

    def __post_init__(self) -> None:
        """Refuse what its file may not hold and what its kernels cannot take.

        Raises:
            ProgramError: names, fraction bits, provenance or proof: see :mod:`tinier_yolo.ifq.metadata`.
            CfgError: see :mod:`tinier_yolo.ifq.limits`.
        """
        last = self.network.layers[-1]
        check_facts(self.facts, last.classes if isinstance(last, Region) else None)
        self.shapes(*self.network.input[1:])

    @property
    def facts(self) -> Facts:
        """What it knows beside its numbers."""
        return Facts(self.class_names, self.fraction_bits, self.provenance, self.proof)

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
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ProgramError("not a program", path=path, found=str(error)[:80]) from error
        except TinierYoloError as error:
            problem = f"not a program: {error.problem}"
            raise ProgramError(
                problem, path=path, place=error.place, expected=error.expected, found=error.found
            ) from error
        if program.to_bytes() != data:
            raise ProgramError("metadata that contradict each other", path=path)
        return program

    def shapes(self, height: int, width: int) -> tuple[Shape, ...]:
        """The shapes of all maps for an image of this size: the image's, each layer's output, the program's output.

        Raises:
            CfgError: the network cannot take the size, or it is beyond :mod:`tinier_yolo.ifq.limits`.
        """
        works = self.works(height, width)
        check(works)
        return (works[0].read, *(work.made for work in works))

    def works(self, height: int, width: int) -> tuple[Work, ...]:
        """What each layer, the output's included, does with an image of this size; not checked against the limits.

        Raises:
            CfgError: the network cannot take the size.
        """
        self.network.check_size(width, height)
        read, works = Shape(self.network.input.channels, height, width), []
        for layer in (*self.layers, self.output):
            pool, bits = (layer.pool, layer.bits) if isinstance(layer, QuantizedLayer) else (None, 0)
            works.append(Work(layer.convolution, pool, read, layer.input_bits, bits))
            check_map(layer.convolution.section, read, works[-1].made)
            read = works[-1].made
        return tuple(works)

    def to_bytes(self) -> bytes:
        """The bytes of its .ifq file, the same for the same program."""
        return container.pack(_tensors(self), _texts(self))


def _texts(program: Program) -> dict[str, str]:
    return {
        "cfg": program.network.text,
        "resize": "letterbox" if program.network.options.letter_box else "stretch",
        "colours": "rgb",
        "thresholds": "explicit",
        **texts(program.facts),
    }


def _tensors(program: Program) -> dict[str, NDArray[Any]]:
    chain = integer_chain(program.network)
    tensors: dict[str, NDArray[Any]] = {}
    for number, (substructure, layer) in enumerate(zip(chain, (*program.layers, program.output), strict=True)):
        kinds = substructure_tensors(substructure, layer.input_bits)
        for name, (kind, _) in kinds.items():
            array: NDArray[Any] = layer.packed if name == "weights" else getattr(layer, name)
            tensors[f"{number}.{name}"] = array.astype(kind, copy=False)
    flips = [layer.flips for layer in program.layers]
    tensors["flips"] = pack_bits(np.concatenate([*flips, np.zeros(0, np.bool_)]))
    return tensors


def _build(tensors: dict[str, NDArray[Any]], metadata: Mapping[str, str], path: PathLike) -> Program:
    network = Network.parse(metadata["cfg"], str(path))
    chain = integer_chain(network)
    filters = [substructure.convolution.filters for substructure in chain[:-1]]
    flips = unpack_bits(_take(tensors, "flips", bit_tensor(sum(filters))), (sum(filters),))
    own_flips = np.split(flips, np.cumsum(filters))
    layers: list[QuantizedLayer] = []
    for number, (substructure, bits) in enumerate(zip(chain, input_bits(chain), strict=True)):
        kinds = substructure_tensors(substructure, bits)
        own = {name: _take(tensors, f"{number}.{name}", kind) for name, kind in kinds.items()}
        if substructure.quantizer is not None:
            layers.append(_quantized_layer(own, number, substructure, bits, own_flips[number]))
        else:
            output = _output_layer(own, number, substructure.convolution, bits)
    if tensors:
        raise ValueError(f"tensor {next(iter(tensors))} belongs to no layer")
    return Program(network, tuple(layers), output, *read_facts(metadata))


def _quantized_layer(
    tensors: Mapping[str, NDArray[Any]], number: int, substructure: Substructure, bits: int, flips: NDArray[np.bool_]
) -> QuantizedLayer:
    convolution, quantizer = substructure.convolution, substructure.quantizer
    assert quantizer is not None, "integer_chain lets no other through"
    thresholds = tensors["thresholds"].astype(np.int32)
    limit = accumulator_limit(convolution, bits)
    # Compared, not subtracted: neither a difference of two nor the absolute value of the least int32 is one.
    ascending = thresholds[:, :-1] <= thresholds[:, 1:]
    if not ascending.all() or (thresholds < -limit - 1).any() or (thresholds > limit + 1).any():
        raise ValueError(f"{number}.thresholds are out of order or range")
    packed, pool = tensors["weights"], substructure.pool
    return QuantizedLayer(convolution, bits, packed, pool, quantizer.bits, thresholds, flips)


def _output_layer(
    tensors: Mapping[str, NDArray[Any]], number: int, convolution: Convolutional, bits: int
) -> OutputLayer:
    multipliers, biases = tensors["multipliers"], tensors["biases"]
    limit = accumulator_limit(convolution, bits)
    if (np.abs(multipliers.astype(np.int64)) * limit + np.abs(biases.astype(np.int64)) > np.iinfo(np.int32).max).any():
        raise ValueError(f"{number}.multipliers let the output leave int32")
    return OutputLayer(convolution, bits, tensors["weights"], multipliers, biases)


def _take(tensors: dict[str, NDArray[Any]], name: str, expected: TensorType) -> NDArray[Any]:
    array = tensors.pop(name)
    if array.dtype != expected.kind or array.shape != expected.shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {expected}")
    return array
