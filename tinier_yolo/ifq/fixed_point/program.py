"""FixedPointProgram: a network of fixed-point layers. Its file is an .ifq like that of a binary network.

Tensors, ``N`` being the number of the layer from 0; integers of b bits lie one after the other, the lowest bit first:

    N.weights   uint8, b bits each, two's complement, in (filter, channel, row, column) order
    N.biases    uint8, b bits each

The metadata hold ``arithmetic`` = ``fixed-point``, the cfg and the names as for binary networks, and ``formats``: for
each layer the bits and the binary points of weights, biases and output map.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Region, Shape
from tinier_yolo.darknet.network import Network, check_map
from tinier_yolo.errors import PathLike, ProgramError, TinierYoloError
from tinier_yolo.ifq import container
from tinier_yolo.ifq.fixed_point.chain import Part, fixed_point_chain
from tinier_yolo.ifq.fixed_point.layer import IMAGE_FORMAT, FixedPointLayer, LayerFormats
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.metadata import is_text

#: What ``arithmetic`` says in the metadata of such a file.
FIXED_POINT = "fixed-point"
#: Values of all maps for one image, borders included: int16 each.
MAX_MAP_VALUES = 1 << 30
_TENSORS = ("weights", "biases", "maps")


@dataclass(frozen=True, eq=False)
class FixedPointProgram(container.Stored):
    """A network as fixed-point integers.

    Attributes:
        network: the network of the stored cfg text.
        layers: its layers in order; the last one's map is the output.
        class_names: a name for each class.
        provenance: where the weights came from, and how the formats were chosen.
    """

    network: Network
    layers: tuple[FixedPointLayer, ...]
    class_names: tuple[str, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        last = self.network.layers[-1]
        if isinstance(last, Region) and len(self.class_names) != last.classes:
            raise ValueError(f"{len(self.class_names)} class names for {last.classes} classes")
        texts = (*self.class_names, *self.provenance, *self.provenance.values())
        if not all(is_text(text, 1000) for text in texts):
            raise ValueError("class names and provenance are short texts of one line")
        self.shapes(*self.network.input[1:])

    @classmethod
    def load(cls, path: PathLike) -> FixedPointProgram:
        """Read an .ifq file.

        Raises:
            ProgramError: it cannot be read, is damaged, or is no such program.
        """
        return cls.from_bytes(container.read(path), path)

    @classmethod
    def from_bytes(cls, data: bytes, path: PathLike = "<ifq>") -> FixedPointProgram:
        """The program that the bytes of an .ifq file hold; ``path`` is the name that errors give.

        Raises:
            ProgramError: see :meth:`load`.
        """
        tensors, metadata = container.unpack(data, path)
        try:
            program = _build(tensors, metadata, path)
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ProgramError("not a fixed-point program", path=path, found=str(error)[:80]) from error
        except TinierYoloError as error:
            problem, found = f"not a fixed-point program: {error.problem}", error.found
            raise ProgramError(problem, path=path, place=error.place, expected=error.expected, found=found) from error
        if program.to_bytes() != data:
            raise ProgramError("metadata that contradict each other", path=path)
        return program

    @property
    def fraction_bits(self) -> int:
        """The output map is in units of 2^-fraction_bits."""
        return self.layers[-1].formats.maps.fraction

    def shapes(self, height: int, width: int) -> tuple[Shape, ...]:
        """The shapes of all maps for an image of this size: the image's and each layer's output.

        Raises:
            CfgError: the network cannot take the size, or its maps are too large.
        """
        self.network.check_size(width, height)
        shapes, values = [Shape(self.network.input.channels, height, width)], 0
        for layer in self.layers:
            section, read = layer.convolution.section, shapes[-1]
            border = 2 * layer.convolution.padding
            values += (read.height + border) * (read.width + border) * (read.channels + 8)
            for shape in (layer.convolved(read), layer.output(read)):
                check_map(section, read, shape)
                values += 2 * shape.size
            if layer.pool is not None:  # the list of its windows, 12 bytes for each cell of them
                made = layer.output(read)
                values += 6 * layer.pool.size**2 * made.height * made.width
            if values > MAX_MAP_VALUES:
                raise section.error("maps too large for a program", expected=f"{MAX_MAP_VALUES} values", found=values)
            shapes.append(layer.output(read))
        return tuple(shapes)

    def to_bytes(self) -> bytes:
        """The bytes of its .ifq file, the same for the same program."""
        tensors: dict[str, NDArray[Any]] = {}
        for number, layer in enumerate(self.layers):
            tensors[f"{number}.weights"] = pack_integers(layer.weights, layer.formats.weights.bits)
            tensors[f"{number}.biases"] = pack_integers(layer.biases, layer.formats.biases.bits)
        return container.pack(tensors, _texts(self))


def formats_json(formats: Sequence[LayerFormats]) -> list[dict[str, list[int]]]:
    """Formats as lists and numbers: for each layer and tensor its bits, its binary point, 1 where it is signed."""
    return [
        {name: [own.bits, own.fraction, int(own.signed)] for name in _TENSORS for own in [getattr(layer, name)]}
        for layer in formats
    ]


def formats_from_json(value: object) -> tuple[LayerFormats, ...]:
    """The inverse of :func:`formats_json`.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list):
        raise ValueError("formats are a list, an entry a layer")
    return tuple(_layer_formats(entry) for entry in value)


def _layer_formats(entry: object) -> LayerFormats:
    if not isinstance(entry, dict) or sorted(entry) != sorted(_TENSORS):
        raise ValueError("a layer's formats are those of weights, biases and maps")
    own = []
    for name in _TENSORS:
        numbers = entry[name]
        whole = isinstance(numbers, list) and len(numbers) == 3 and all(type(number) is int for number in numbers)
        if not whole or numbers[2] not in (0, 1):
            raise ValueError("a format is three whole numbers: bits, binary point, and 1 where it is signed")
        own.append(NumberFormat(numbers[0], numbers[1], bool(numbers[2])))
    return LayerFormats(*own)


def pack_integers(integers: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Integers in C order as ``bits`` bits each, the lowest first; what is left of the last byte is zero."""
    places = np.arange(bits)
    return np.packbits(((integers.reshape(-1, 1) >> places) & 1).astype(np.bool_), bitorder="little")


def unpack_integers(packed: NDArray[np.uint8], shape: tuple[int, ...], bits: int) -> NDArray[np.int16]:
    """The array of this shape that :func:`pack_integers` has packed from signed integers."""
    columns = np.unpackbits(packed, count=math.prod(shape) * bits, bitorder="little").reshape(-1, bits)
    integers = np.zeros(len(columns), np.int32)
    for place in range(bits):
        integers |= columns[:, place].astype(np.int32) << place
    return (integers - (columns[:, -1].astype(np.int32) << bits)).astype(np.int16).reshape(shape)


def _texts(program: FixedPointProgram) -> dict[str, str]:
    return {
        "arithmetic": FIXED_POINT,
        "cfg": program.network.text,
        "names": _json(list(program.class_names)),
        "resize": "letterbox" if program.network.options.letter_box else "stretch",
        "colours": "rgb",
        "formats": _json(formats_json([layer.formats for layer in program.layers])),
        "provenance": _json(dict(program.provenance)),
    }


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _build(tensors: dict[str, NDArray[Any]], metadata: Mapping[str, str], path: PathLike) -> FixedPointProgram:
    if metadata.get("arithmetic") != FIXED_POINT:
        raise ValueError("the arithmetic is another one")
    network = Network.parse(metadata["cfg"], str(path))
    chain, formats = fixed_point_chain(network), formats_from_json(json.loads(metadata["formats"]))
    if len(formats) != len(chain):
        raise ValueError(f"formats of {len(formats)} layers for {len(chain)}")
    layers, read = [], IMAGE_FORMAT
    for number, (part, own) in enumerate(zip(chain, formats, strict=True)):
        layers.append(_layer(tensors, number, part, read, own))
        read = own.maps
    if tensors:
        raise ValueError(f"tensor {next(iter(tensors))} belongs to no layer")
    names, provenance = json.loads(metadata["names"]), dict(json.loads(metadata["provenance"]))
    return FixedPointProgram(network, tuple(layers), tuple(names), provenance)


def _layer(
    tensors: dict[str, NDArray[Any]], number: int, part: Part, read: NumberFormat, formats: LayerFormats
) -> FixedPointLayer:
    arrays = []
    shapes = {"weights": part.convolution.weight_shape, "biases": (part.convolution.filters,)}
    for name, shape in shapes.items():
        bits, packed = getattr(formats, name).bits, tensors.pop(f"{number}.{name}")
        # Compared before anything is unpacked: a small file must not ask for much memory.
        if packed.dtype != np.uint8 or packed.shape != (-(-math.prod(shape) * bits // 8),):
            raise ValueError(f"{number}.{name} is {packed.dtype} {packed.shape}, not {shape} of {bits} bits")
        arrays.append(unpack_integers(packed, shape, bits))
    return FixedPointLayer(part.convolution, part.pool, read, formats, *arrays)
