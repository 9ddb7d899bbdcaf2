"""The C letterbox against OpenCV's resize, byte by byte."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.export.c99.test_boxes import library
from tinier_yolo.detection.letterbox import PADDING, Letterbox
from tinier_yolo.export.c99 import export
from tinier_yolo.export.c99.export import c_files, write
from tinier_yolo.ifq.program import Program
from tinier_yolo.shipped import default_model

SIZES = [(640, 480), (480, 640), (1, 1), (1, 500), (700, 1), (416, 416), (832, 832), (832, 400), (417, 415), (33, 57)]


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("letterbox")
    write(c_files(Program.load(default_model()), "face"), folder)
    return library(folder, "face", "face.c", "face_letterbox.c")


def assert_equal(face: ctypes.CDLL, image_size: tuple[int, int], size: tuple[int, int], seed: int = 0) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (image_size[1], image_size[0], 3), np.uint8)
    found = np.zeros((size[1], size[0], 3), np.uint8)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (image, found)]
    assert face.face_letterbox(pointers[0], *image_size, *size, pointers[1]) == 0
    np.testing.assert_array_equal(found, Letterbox.fit(image_size, size).apply(image))


@pytest.mark.parametrize("size", [(416, 416), (160, 96)])
@pytest.mark.parametrize("image_size", SIZES)
def test_the_bytes_are_opencvs(face: ctypes.CDLL, image_size: tuple[int, int], size: tuple[int, int]) -> None:
    assert_equal(face, image_size, size)


def test_the_bytes_are_opencvs_for_random_sizes(face: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    for seed in range(40):
        width, height = (int(side) for side in 2 ** rng.uniform(0, 11, 2))
        columns, rows = (32 * int(side) for side in rng.integers(1, 11, 2))
        assert_equal(face, (width, height), (columns, rows), seed)


def test_a_large_photograph(face: ctypes.CDLL) -> None:
    assert_equal(face, (6000, 4001), (416, 416))


def test_the_grey_is_the_detectors() -> None:
    assert export.PADDING == PADDING


def test_bad_arguments_are_refused(face: ctypes.CDLL) -> None:
    image, out = (ctypes.c_uint8 * 300)(), (ctypes.c_uint8 * 30000)()
    assert face.face_letterbox(None, 10, 10, 32, 32, out) == -1
    assert face.face_letterbox(image, 10, 10, 32, 32, None) == -1
    assert face.face_letterbox(image, 0, 10, 32, 32, out) == -2
    assert face.face_letterbox(image, 10, 20000, 32, 32, out) == -2
    assert face.face_letterbox(image, 10, 10, 32, 0, out) == -1
    assert face.face_letterbox_row(image, 10, 10, 32, 32, 32, out) == -1
