"""Darknet's .weights files, in both directions, with every byte accounted for.

A header, then each layer's float32 arrays, little-endian, in cfg order (``Layer.parameters``). The header is three
int32 (major, minor, revision) and the number of images seen: a uint64 from version 0.2 on (20 bytes in all), an int32
before (16 bytes). Darknet itself reads short files in silence; here a byte too few or too many is an error.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import PathLike, WeightsError
from tinier_yolo.files import atomic_write

#: One dict for each layer of the network: array name -> float32 array, as ``Layer.parameters`` lists them.
Parameters = tuple[dict[str, NDArray[np.float32]], ...]

#: Bytes of a file whose network is not known: larger than any of Darknet's.
MAX_BYTES = 1 << 31
#: Bytes that a file may have beyond its network's, to be told in what it differs.
_ROOM = 1 << 20
_VERSION = struct.Struct("<3i")
_HEADERS = {16: struct.Struct("<3ii"), 20: struct.Struct("<3iQ")}


@dataclass(frozen=True)
class Header:
    """The head of a .weights file: the format's version, images seen in training, its size in bytes."""

    version: tuple[int, int, int]
    images_seen: int
    size: int


def read_header(data: bytes, path: PathLike) -> Header:
    """The header at the start of ``data``.

    Raises:
        WeightsError: fewer bytes than a header has, or a version that no Darknet has written.
    """
    if len(data) < _VERSION.size:
        raise WeightsError("too short for a header", path=path, expected="at least 16 bytes", found=len(data))
    major, minor, revision = _VERSION.unpack_from(data)
    if not (0 <= major < 1000 and 0 <= minor < 1000):
        raise WeightsError("not a Darknet .weights file", path=path, found=f"version {major}.{minor}.{revision}")
    size = 20 if major * 10 + minor >= 2 else 16
    if len(data) < size:
        raise WeightsError("too short for its header", path=path, expected=f"{size} bytes", found=len(data))
    *_, seen = _HEADERS[size].unpack_from(data)
    return Header((major, minor, revision), seen, size)


def count_values(network: Network) -> int:
    """How many float32 values the network's .weights file holds."""
    return sum(math.prod(shape) for layer in network.layers for _, shape in layer.parameters)


#: (layer index, name, shape) of each array of a .weights file, in its order.
ArrayList = Sequence[tuple[int, str, tuple[int, ...]]]


def load_weights(path: PathLike, network: Network) -> Parameters:
    """Read the arrays of ``network`` from a .weights file.

    Returns:
        One dict for each layer of the network, each array of the shape that ``Layer.parameters`` gives.

    Raises:
        WeightsError: the file cannot be read, is not exactly as long as this network needs, or holds a value that is
            not finite.
    """
    return parse_weights(read_weights(path, network), network, path)


def parse_weights(data: bytes, network: Network, path: PathLike) -> Parameters:
    """The arrays of ``network`` from the bytes of a .weights file; see :func:`load_weights`.

    Args:
        data: what :func:`read_weights` has read.
        network: the network.
        path: the name that errors give.

    Raises:
        WeightsError: the file is not exactly as long as this network needs, or holds a value that is not finite.
    """
    wanted = [(index, name, shape) for index, layer in enumerate(network.layers) for name, shape in layer.parameters]
    layers: list[dict[str, NDArray[np.float32]]] = [{} for _ in network.layers]
    for (index, name, _), array in zip(wanted, parse_arrays(data, wanted, path, network.path), strict=True):
        layers[index][name] = array
    return tuple(layers)


def parse_arrays(data: bytes, wanted: ArrayList, path: PathLike, owner: str) -> list[NDArray[np.float32]]:
    """The arrays that a .weights file holds in the order of ``wanted``; ``owner`` is the network that errors name.

    Raises:
        WeightsError: as :func:`parse_weights`.
    """
    header = read_header(data, path)
    body = 4 * sum(math.prod(shape) for _, _, shape in wanted)
    _check_length(len(data), header, body, path, owner)
    values = np.frombuffer(data, "<f4", offset=header.size).astype(np.float32)
    arrays, position = [], 0
    for index, name, shape in wanted:
        count = math.prod(shape)
        array = values[position : position + count].reshape(shape)
        if not np.isfinite(array).all():
            place = f"layer {index} {name}, byte {header.size + 4 * position}"
            raise WeightsError("a value that is not finite", path=path, place=place)
        arrays.append(array)
        position += count
    return arrays


def read_weights(path: PathLike, network: Network | None = None) -> bytes:
    """The bytes of a .weights file.

    Args:
        path: the file.
        network: whose it should be, where that is known: nothing much larger is read.

    Raises:
        WeightsError: the file cannot be read, or is too large.
    """
    most = MAX_BYTES if network is None else 4 * count_values(network) + _ROOM
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A pipe or a device says 0 bytes.
            data = b"" if size > most else file.read((size or most) + 1)
    except OSError as error:
        raise WeightsError("cannot read the weights", path=path, found=error.strerror) from error
    if max(size, len(data)) > most:
        owner = "a .weights file" if network is None else network.path
        raise WeightsError(
            f"too large for {owner}", path=path, expected=f"at most {most} bytes", found=max(size, len(data))
        )
    return data


def _check_length(length: int, header: Header, body: int, path: PathLike, owner: str) -> None:
    if length == header.size + body:
        return
    other = 36 - header.size
    if length == other + body:
        major, minor, _ = header.version
        raise WeightsError(
            f"the header of version {major}.{minor} should have {header.size} bytes, but one of {other} would fit",
            path=path,
            place="byte 0",
        )
    raise WeightsError(
        f"the file does not belong to {owner}",
        path=path,
        expected=f"{header.size + body} bytes",
        found=f"{length}, {abs(length - header.size - body)} too {'few' if length < header.size + body else 'many'}",
    )


def weights_bytes(network: Network, parameters: Parameters, images_seen: int = 0) -> bytes:
    """A .weights file (version 0.2.0, 20-byte header) as bytes.

    Raises:
        WeightsError: an array that is missing or has another shape than the network says.
    """
    parts = [_HEADERS[20].pack(0, 2, 0, images_seen)]
    for index, (layer, arrays) in enumerate(zip(network.layers, parameters, strict=True)):
        for name, shape in layer.parameters:
            if name not in arrays or arrays[name].shape != shape:
                found = arrays[name].shape if name in arrays else "nothing"
                place = f"layer {index} [{layer.kind}] {name}"
                raise WeightsError("wrong array", place=place, expected=shape, found=found)
            parts.append(np.ascontiguousarray(arrays[name], "<f4").tobytes())
    return b"".join(parts)


def save_weights(path: PathLike, network: Network, parameters: Parameters, images_seen: int = 0) -> None:
    """Write a .weights file that this package, Darknet and OpenCV's importer read.

    Args:
        path: the file to write, whole or not at all.
        network: gives the order and the shapes.
        parameters: one dict for each layer.
        images_seen: goes into the header; Darknet resumes its learning-rate schedule by it.

    Raises:
        WeightsError: an array of the wrong shape.
        OutputError: the file cannot be written.
    """
    data = weights_bytes(network, parameters, images_seen)
    with atomic_write(path) as file:
        file.write(data)
