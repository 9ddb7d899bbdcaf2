"""A small strict reader of MATLAB's .mat files, versions 5 to 7: cells, texts and real numbers, as WIDER FACE has them.

Not ``scipy.io.loadmat``, which a damaged file makes read and write outside its memory: here nothing is taken from a
file before its place, size and type were checked, and no file can ask for more memory than :data:`MAX_BYTES`.

Source: "MAT-File Format", MathWorks, the chapter on level 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import DataError, PathLike

#: A cell is a tuple of its items, whatever its shape; numbers are a float64 matrix; a text is one row of characters.
Value = tuple["Value", ...] | NDArray[np.float64] | str
#: Of a file, and of its arrays unpacked. WIDER FACE's largest have 1.5 and 11 MB.
MAX_BYTES = 1 << 26
#: A cell in a cell in a cell is the deepest that is read.
MAX_DEPTH = 4

_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_CELL, _CHAR, _NUMBERS = 1, 4, range(6, 16)
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_COMPLEX = 0x08


class _DamagedError(Exception):
    pass


class _Element(NamedTuple):
    type: int
    data: memoryview


def read_mat(path: PathLike, names: Collection[str]) -> dict[str, Value]:
    """Read some arrays of a .mat file. Others are passed over unread.

    Args:
        path: the file.
        names: the arrays to read; those that the file lacks are not in the result.

    Raises:
        DataError: the file cannot be read, is no such file, is damaged or too large, or an array that is asked for is
            of another kind than cells, texts and real numbers.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError("cannot read the .mat file", path=path, found=error.strerror or str(error)) from error
    try:
        return _File(content).arrays(names)
    except _DamagedError as problem:
        raise DataError("not a .mat file, or a damaged one", path=path, found=str(problem)) from None


class _File:
    def __init__(self, content: bytes) -> None:
        if len(content) > MAX_BYTES:
            raise _DamagedError(f"more than {MAX_BYTES} bytes")
        order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
        if order is None:
            raise _DamagedError("no header of MATLAB's")
        (version,) = struct.unpack_from(order + "H", content, _HEADER - 4)
        if version != 0x0100:
            raise _DamagedError("a version other than 5 to 7" + (" (7.3)" if version == 0x0200 else ""))
        self._order, self._content, self._left = order, memoryview(content), MAX_BYTES
        self._pair, self._sizes = struct.Struct(order + "II"), struct.Struct(order + "ii")

    def arrays(self, names: Collection[str]) -> dict[str, Value]:
        arrays: dict[str, Value] = {}
        at = _HEADER
        while at < len(self._content):
            element, at = self._element(self._content, at, pad=False)
            if element.type == _COMPRESSED:
                element, _ = self._element(self._unpack(element.data), 0)
            if element.type != _MATRIX:
                raise _DamagedError(f"an element of type {element.type} for an array")
            name, value = self._array(element.data, names)
            if name in names and value is not None:
                arrays[name] = value
        return arrays

    def _unpack(self, data: memoryview) -> memoryview:
        unpacker = zlib.decompressobj()
        try:
            unpacked = unpacker.decompress(data, self._left)
        except zlib.error as error:
            raise _DamagedError(str(error)) from None
        if unpacker.unconsumed_tail:
            raise _DamagedError(f"more than {MAX_BYTES} bytes unpacked")
        if not unpacker.eof:
            raise _DamagedError("a packed array is cut off")
        self._left -= len(unpacked)
        return memoryview(unpacked)

    def _element(self, data: memoryview, at: int, pad: bool = True) -> tuple[_Element, int]:
        # An element and the place after it.
        if at + 8 > len(data):
            raise _DamagedError("an element is cut off")
        kind, size = self._pair.unpack_from(data, at)
        if kind >> 16:  # a small one: its size, its type and up to four bytes in the place of the tag
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise _DamagedError(f"{size} bytes in a small element")
            return _Element(kind, data[at + 4 : at + 4 + size]), at + 8
        end = at + 8 + size
        if end > len(data):
            raise _DamagedError("an element is cut off")
        return _Element(kind, data[at + 8 : end]), min(end + (-size % 8 if pad else 0), len(data))

    def _array(self, data: memoryview, names: Collection[str] | None, depth: int = 0) -> tuple[str, Value | None]:
        # An array's name and value; None for one that is not asked for.
        flags, at = self._element(data, 0)
        sizes, at = self._element(data, at)
        label, at = self._element(data, at)
        if flags.type != 6 or len(flags.data) != 8 or sizes.type != 5 or label.type not in (1, 2):
            raise _DamagedError("an array without flags, sizes or name")
        name = bytes(label.data).decode("latin-1")
        if names is not None and name not in names:
            return name, None
        (bits, _), shape = self._pair.unpack(flags.data), self._shape(sizes)
        kind = bits & 0xFF
        if kind == _CELL:
            return name, self._cell(data, at, shape[0] * shape[1], depth)
        if kind == _CHAR:
            return name, self._text(self._element(data, at)[0], shape)
        if kind in _NUMBERS and not bits >> 8 & _COMPLEX:
            return name, self._numbers(self._element(data, at)[0], shape)
        raise _DamagedError(f"an array of class {kind}, complex or not, where cells, text or numbers belong")

    def _shape(self, sizes: _Element) -> tuple[int, int]:
        if len(sizes.data) != self._sizes.size:
            raise _DamagedError("an array that is no matrix")
        rows, columns = self._sizes.unpack(sizes.data)
        if rows < 0 or columns < 0:
            raise _DamagedError(f"an array of shape {rows} x {columns}")
        return rows, columns

    def _cell(self, data: memoryview, at: int, count: int, depth: int) -> tuple[Value, ...]:
        if depth == MAX_DEPTH:
            raise _DamagedError("cells in cells, too deep")
        if count > (len(data) - at) // 8:  # each item has a tag at least
            raise _DamagedError(f"a cell of {count} items is cut off")
        items: list[Value] = []
        for _ in range(count):
            element, at = self._element(data, at)
            if element.type != _MATRIX:
                raise _DamagedError(f"an element of type {element.type} in a cell")
            value = self._array(element.data, None, depth + 1)[1] if len(element.data) else _EMPTY
            items.append(_EMPTY if value is None else value)
        return tuple(items)

    def _text(self, element: _Element, shape: tuple[int, int]) -> str:
        encoding = _ENCODINGS.get(element.type)
        if encoding is None or (shape[0] * shape[1] and shape[0] != 1):
            raise _DamagedError("a text of other characters, or of several rows")
        if encoding == "utf-16":
            encoding += "-le" if self._order == "<" else "-be"
        try:
            text = bytes(element.data).decode(encoding)
        except UnicodeDecodeError as error:
            raise _DamagedError(f"a text that is not {error.encoding}") from None
        if len(text) > shape[0] * shape[1]:
            raise _DamagedError("a text longer than its shape")
        return text

    def _numbers(self, element: _Element, shape: tuple[int, int]) -> NDArray[np.float64]:
        kind = _TYPES.get(element.type)
        if kind is None or shape[0] * shape[1] * np.dtype(kind).itemsize != len(element.data):
            raise _DamagedError("numbers that do not fill their shape")
        values = np.frombuffer(element.data, self._order + kind)
        return values.astype(np.float64).reshape(shape, order="F")


_EMPTY = np.empty((0, 0))
