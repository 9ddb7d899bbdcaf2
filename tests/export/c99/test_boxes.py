"""Boxes in fixed point against the decoder of Python."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.export.c99.test_export import WARNINGS
from tinier_yolo.darknet.layers import Region
from tinier_yolo.detection.boxes import clip, nms
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.detection.region import decode, integer_threshold
from tinier_yolo.export.c99 import boxes as export_boxes
from tinier_yolo.export.c99 import tables
from tinier_yolo.export.c99.export import c_files, write
from tinier_yolo.ifq.program import Program
from tinier_yolo.shipped import default_model

SIZE = (96, 64)


class Box(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("left", "top", "right", "bottom", "score", "class_id", "order")]


def library(folder: Path, name: str, *sources: str) -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    out = folder / "library.so"
    paths = [str(folder / source) for source in sources]
    subprocess.run(["gcc", *WARNINGS, "-O1", "-shared", "-fPIC", *paths, "-o", str(out)], check=True, timeout=120)
    return ctypes.CDLL(str(out))


@pytest.fixture(scope="module")
def program() -> Program:
    return Program.load(default_model())


@pytest.fixture(scope="module")
def face(program: Program, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("boxes")
    write(c_files(program, "face"), folder)
    return library(folder, "face", "face.c", "face_boxes.c")


def c_boxes(
    face: ctypes.CDLL, output: NDArray[np.int32], size: tuple[int, int], image: tuple[int, int], thresh: int, nms: int
) -> list[Box]:
    found = (Box * 4000)()
    pointer = np.ascontiguousarray(output).ctypes.data_as(ctypes.c_void_p)
    count = face.face_boxes(pointer, *size, *image, thresh, nms, found, 4000)
    assert count >= 0
    return list(found[:count])


def python_boxes(
    region: Region, output: NDArray[np.int32], size: tuple[int, int], image: tuple[int, int], thresh: int, iou: int
) -> Detections:
    found = decode(output, region, 32, thresh / 100, 14)
    inside = clip(Letterbox.fit(image, size).to_image(found.boxes), *image)
    some = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    inside, found = inside[some], found[some]
    kept = nms(inside, found.scores, found.class_ids, iou / 100)
    return Detections.of(inside[kept], found.scores[kept], found.class_ids[kept])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("image", [(640, 480), (31, 900), (4000, 3000)])
def test_boxes_are_pythons(face: ctypes.CDLL, program: Program, seed: int, image: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    output = np.rint(rng.normal(0, 1.2, (30, 2, 3)) * (1 << 14)).astype(np.int32)
    found = c_boxes(face, output, SIZE, image, 24, 45)
    expected = python_boxes(program.network.region, output, SIZE, image, 24, 45)
    assert len(found) == len(expected.boxes) > 0
    edges = np.array([(box.left, box.top, box.right, box.bottom) for box in found]) / 256
    # Half a unit of an edge, and the error of the tables on the input, scaled to the image.
    scale = 1 / min(Letterbox.fit(image, SIZE).scale)
    bound = 1 / 512 + scale * (32 * 2e-5 + 1e-6 * SIZE[0] * 4 + 1e-3)
    np.testing.assert_allclose(edges, expected.boxes, atol=bound)
    scores = [box.score / (1 << 15) for box in found]
    np.testing.assert_allclose(scores, expected.scores, atol=2**-16 + tables.sigmoid_error())


def test_of_more_boxes_than_there_is_room_for_the_best_are_kept(face: ctypes.CDLL) -> None:
    output = np.rint(np.random.default_rng(0).normal(0, 1, (30, 2, 3)) * (1 << 14)).astype(np.int32)
    every = c_boxes(face, output, SIZE, (640, 480), 1, 100)
    few = (Box * 3)()
    assert face.face_boxes(output.ctypes.data_as(ctypes.c_void_p), *SIZE, 640, 480, 1, 100, few, 3) == 3
    assert [box.order for box in few] == [box.order for box in every[:3]]


@pytest.mark.parametrize("value", [-(2**31), 2**31 - 1, 0])
def test_extreme_maps_give_boxes_in_the_image(face: ctypes.CDLL, value: int) -> None:
    output = np.full((30, 2, 3), value, np.int32)
    for box in c_boxes(face, output, SIZE, (640, 480), 0, 100):
        assert 0 <= box.left < box.right <= 640 * 256
        assert 0 <= box.top < box.bottom <= 480 * 256


def test_bad_arguments_are_refused(face: ctypes.CDLL) -> None:
    output, room = (ctypes.c_int32 * 180)(), (Box * 4)()
    assert face.face_boxes(None, 96, 64, 9, 9, 50, 45, room, 4) == -1
    assert face.face_boxes(output, 96, 64, 9, 9, 50, 45, None, 4) == -1
    assert face.face_boxes(output, 96, 64, 9, 9, 50, 45, room, 0) == -1
    assert face.face_boxes(output, 96, 64, 9, 9, 101, 45, room, 4) == -1
    assert face.face_boxes(output, 96, 64, 9, 9, 50, -1, room, 4) == -1
    assert face.face_boxes(output, 95, 64, 9, 9, 50, 45, room, 4) == -2
    assert face.face_boxes(output, 96, 64, 0, 9, 50, 45, room, 4) == -2
    assert face.face_boxes(output, 96, 64, 9, 40000, 50, 45, room, 4) == -2


def test_the_tables_are_as_close_as_the_header_says() -> None:
    assert tables.sigmoid_error() < 2.5e-5
    assert tables.exp_error() < 1e-6


@pytest.mark.parametrize("bits", [0, 9, 14, 30])
def test_the_logits_are_the_decoders(bits: int) -> None:
    found = export_boxes.logits(bits)
    assert found[1:100].tolist() == [min(integer_threshold(share / 100, bits), 2**31 - 1) for share in range(1, 100)]
