"""The container of an .ifq file: safetensors, written in one canonical form and checked by a SHA-256.

Layout (safetensors): uint64 length of the header, a JSON header padded with spaces to 8 bytes, the tensors' bytes. The
header names each tensor's type, shape and place; ``__metadata__`` maps strings to strings. A file is accepted only if
writing what it says again gives the same bytes, so no bit of it, padding and key order included, is without meaning;
and if ``sha256`` in the metadata is the digest of the file that would have been written without that key.
"""

from __future__ import annotations

import hashlib
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from tinier_yolo.errors import PathLike, ProgramError
from tinier_yolo.files import atomic_write

FORMAT = "ifq"
VERSION = "1"
MAX_BYTES = 64 << 20
MAX_HEADER_BYTES = 4 << 20

Tensors = Mapping[str, NDArray[Any]]

_TYPES = {"U8": "|u1", "I16": "<i2", "I32": "<i4"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_LENGTH = struct.Struct("<Q")


class Stored(ABC):
    """What an .ifq file holds."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The bytes of its .ifq file, the same for the same program."""

    def save(self, path: PathLike) -> None:
        """Write its .ifq file, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic_write(path) as file:
            file.write(self.to_bytes())

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata of its .ifq file, format, version and checksum among them."""
        return unpack(self.to_bytes())[1]


def pack(tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """The bytes of an .ifq file.

    Args:
        tensors: arrays of uint8, int16 or int32.
        metadata: everything else; ``format``, ``version`` and ``sha256`` are added here.
    """
    full = {**metadata, "format": FORMAT, "version": VERSION}
    full.pop("sha256", None)
    return _serialize(tensors, {**full, "sha256": hashlib.sha256(_serialize(tensors, full)).hexdigest()})


def unpack(data: bytes, path: PathLike = "<ifq>") -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The tensors and the metadata of an .ifq file; ``path`` is the name that errors give.

    Raises:
        ProgramError: empty, truncated, damaged, of another format or of another version.
    """
    metadata = _metadata(data, path)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        found = f"{metadata.get('format')} {metadata.get('version')}"
        raise ProgramError("not a file that this version reads", path=path, expected=f"{FORMAT} {VERSION}", found=found)
    try:
        tensors = {name: _array(view) for name, view in deserialize(data)}  # type: ignore[no-untyped-call]
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise ProgramError("truncated or damaged", path=path, found=str(error)[:80]) from error
    if pack(tensors, metadata) != data:
        raise ProgramError("damaged: the checksum does not match", path=path)
    return tensors, metadata


def read(path: PathLike) -> bytes:
    """The bytes of a file.

    Raises:
        ProgramError: it cannot be read or is too large for an .ifq.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProgramError("cannot read the model", path=path, found=error.strerror) from error
    if len(data) > MAX_BYTES:
        raise ProgramError("too large for an .ifq file", path=path, expected=f"at most {MAX_BYTES} bytes")
    return data


def _serialize(tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    # Written here and not by the safetensors library, which orders the metadata differently on every run.
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    chunks, end = [], 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        array = tensors[name]
        chunk = array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [end, end + len(chunk)],
        }
        chunks.append(chunk)
        end += len(chunk)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((_LENGTH.pack(len(text)), text, *chunks))


def _metadata(data: bytes, path: PathLike) -> dict[str, str]:
    if not data:
        raise ProgramError("an empty file", path=path, expected="an .ifq model")
    length = _LENGTH.unpack_from(data)[0] if len(data) >= _LENGTH.size else MAX_HEADER_BYTES + 1
    if length > MAX_HEADER_BYTES or data[_LENGTH.size : _LENGTH.size + 2] != b'{"':
        raise ProgramError("not an .ifq file", path=path)
    if _LENGTH.size + length > len(data):
        raise ProgramError("truncated", path=path, expected=f"a header of {length} bytes", found=f"{len(data)} bytes")
    try:
        metadata = json.loads(data[_LENGTH.size : _LENGTH.size + length])["__metadata__"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("not text")
        "".join((*metadata, *metadata.values())).encode()  # JSON can write half a character, UTF-8 cannot.
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProgramError("not an .ifq file, or damaged: its header cannot be read", path=path) from error
    return dict(metadata)


def _array(view: Mapping[str, Any]) -> NDArray[Any]:
    code = np.dtype(_TYPES[view["dtype"]])
    return np.frombuffer(view["data"], code).reshape(view["shape"]).astype(code.newbyteorder("="))
