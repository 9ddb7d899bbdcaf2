from __future__ import annotations

import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import savemat

from tests.eval.wider.wider_files import cells
from tinier_yolo.datasets import mat
from tinier_yolo.datasets.mat import read_mat
from tinier_yolo.errors import DataError


def matrix(kind: int, shape: tuple[int, int], body: bytes, name: bytes = b"", order: str = "<") -> bytes:
    """An array's element."""

    def element(type_: int, data: bytes) -> bytes:
        return struct.pack(order + "II", type_, len(data)) + data + b"\0" * (-len(data) % 8)

    flags = element(6, struct.pack(order + "II", kind, 0))
    return element(14, flags + element(5, struct.pack(order + "ii", *shape)) + element(1, name) + body)


def write(folder: Path, *arrays: bytes, order: str = "<") -> Path:
    path = folder / "x.mat"
    mark = b"IM" if order == "<" else b"MI"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + struct.pack(order + "H", 0x0100) + mark + b"".join(arrays))
    return path


def numbers(values: bytes, type_: int = 9, order: str = "<") -> bytes:
    return struct.pack(order + "II", type_, len(values)) + values + b"\0" * (-len(values) % 8)


@pytest.mark.parametrize("packed", [False, True])
def test_what_scipy_writes(tmp_path: Path, packed: bool) -> None:
    content = {
        "wanted": cells(["0--Parade", cells(["a b", "é"]), np.arange(6.0).reshape(2, 3), np.empty((0, 4))]),
        "small": np.array([[1, -2]], np.int8),
        "single": np.array([[0.5]], np.float32),
        "other": {"a": 1},
    }
    path = tmp_path / "x.mat"
    savemat(path, content, do_compression=packed)
    found = read_mat(path, ("wanted", "small", "single", "missing"))
    assert list(found) == ["wanted", "small", "single"]
    event, files, boxes, empty = found["wanted"]
    assert (event, files) == ("0--Parade", ("a b", "é"))
    assert_array_equal(boxes, [[0, 1, 2], [3, 4, 5]])
    assert_array_equal(empty, np.empty((0, 4)))
    assert_array_equal(found["small"], [[1, -2]])
    assert_array_equal(found["single"], [[0.5]])
    assert isinstance(boxes, np.ndarray)
    assert boxes.dtype == np.float64


def test_the_other_byte_order(tmp_path: Path) -> None:
    value = matrix(6, (1, 2), numbers(struct.pack(">dd", 1, -2.5), order=">"), b"a", ">")
    path = write(tmp_path, value, order=">")
    assert_array_equal(read_mat(path, ["a"])["a"], [[1, -2.5]])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (b"\x0e", "an element is cut off"),
        (struct.pack("<II", 14, 0xFFFFFFFF), "an element is cut off"),
        (struct.pack("<II", 9, 0), "an element of type 9 for an array"),
        (struct.pack("<II", 15, 4) + b"abcd", "Error -3"),
        (matrix(6, (2, 2), numbers(bytes(24)), b"a"), "numbers that do not fill their shape"),
        (matrix(6, (-1, -4), numbers(bytes(32)), b"a"), "an array of shape -1 x -4"),
        (matrix(6, (0x7FFFFFFF, 0x7FFFFFFF), numbers(bytes(8)), b"a"), "numbers that do not fill their shape"),
        (matrix(6, (1, 1), numbers(bytes(8), type_=99), b"a"), "numbers that do not fill their shape"),
        (matrix(1, (0x7FFFFFFF, 1), b"", b"a"), "a cell of 2147483647 items is cut off"),
        (matrix(1, (1, 1), numbers(bytes(8)), b"a"), "an element of type 9 in a cell"),
        (matrix(4, (1, 1), numbers(b"\xff\xd8", 16), b"a"), "a text that is not utf-8"),
        (matrix(4, (1, 1), numbers(b"abc", 16), b"a"), "a text longer than its shape"),
        (matrix(4, (3, 1), numbers(b"abc", 16), b"a"), "a text of other characters, or of several rows"),
        (matrix(6 | 0x0800, (1, 1), numbers(bytes(8)), b"a"), "an array of class 6, complex or not"),
        (matrix(2, (1, 1), b"", b"a"), "an array of class 2"),
    ],
)
def test_damaged_arrays(tmp_path: Path, array: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read_mat(write(tmp_path, array), ["a"])
    assert str(caught.value).startswith(f"{tmp_path / 'x.mat'}: not a .mat file, or a damaged one")


def test_cells_in_cells_without_end(tmp_path: Path) -> None:
    value = matrix(6, (0, 0), numbers(b""))
    for _ in range(3):
        value = matrix(1, (1, 1), value)
    assert len(read_mat(write(tmp_path, matrix(1, (1, 1), value, b"a")), ["a"])["a"]) == 1
    for _ in range(2000):
        value = matrix(1, (1, 1), value)
    with pytest.raises(DataError, match="cells in cells, too deep"):
        read_mat(write(tmp_path, matrix(1, (1, 1), value, b"a")), ["a"])


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mat, "MAX_BYTES", 10_000)
    packed = zlib.compress(matrix(6, (1, 1000), numbers(bytes(8000)), b"a"))
    bomb = struct.pack("<II", 15, len(packed)) + packed
    assert read_mat(write(tmp_path, bomb), ["a"])["a"].shape == (1, 1000)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="more than 10000 bytes unpacked"):
        read_mat(write(tmp_path, bomb, bomb), ["a"])
    with pytest.raises(DataError, match="a packed array is cut off"):
        read_mat(write(tmp_path, struct.pack("<II", 15, len(packed) - 9) + packed[:-9]), ["a"])


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"", "no header"),
        (b"x" * 4000, "no header"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", r"other than 5 to 7 \(7\.3\)"),
    ],
)
def test_other_files(tmp_path: Path, header: bytes, told: str) -> None:
    (tmp_path / "x.mat").write_bytes(header)
    with pytest.raises(DataError, match=told):
        read_mat(tmp_path / "x.mat", ["a"])
    with pytest.raises(DataError, match=r"cannot read the \.mat file"):
        read_mat(tmp_path / "none.mat", ["a"])


def test_damage_of_any_kind_is_an_error_or_another_value(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"a": cells(["event", cells([np.arange(8.0).reshape(2, 4)]), np.ones((2, 1), np.int16)])})
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(600):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(128, len(damaged))] = rng.choice((0, 1, 4, 14, 127, 255, rng.randrange(256)))
        path.write_bytes(damaged[: rng.choice((len(damaged), rng.randrange(128, len(damaged))))])
        with suppress(DataError):
            read_mat(path, ["a"])
