from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import red_detector
from tinier_yolo.detection.detector import Detector
from tinier_yolo.detection.tiles import TiledDetector, Tiling, load
from tinier_yolo.errors import UsageError


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    red_detector.write_model(tmp_path)
    return Detector.load(tmp_path / "red.weights", tmp_path / "red.cfg")


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(32, 700), st.integers(32, 700), st.data())
def test_tiles_cover_the_picture_and_overlap(
    width: int, height: int, wide: int, high: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, min(wide, high) // 2))
    tiles = list(Tiling(wide, high, overlap).cut(width, height))
    if width <= wide and height <= high:
        assert tiles == []
        return
    for low, high_side, tile, length in ((0, 2, wide, width), (1, 3, high, height)):
        spans = sorted({(box[low], box[high_side]) for box in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert {end - start for start, end in spans} == {min(tile, length)}
        assert all(first[1] - second[0] >= overlap for first, second in pairwise(spans))
        # No more of them than are needed.
        assert len(spans) == max(1, -(-(length - overlap) // (tile - overlap)))


def test_a_small_face_is_found_in_a_tile_alone(detector: Detector) -> None:
    # In the whole picture, eight times as large as the input, a cell is 256 pixels.
    picture = red_detector.picture((1024, 1024), (512, 640, 544, 672))
    assert detector.detect(picture).boxes.tolist() == [[512, 512, 768, 768]]
    found = TiledDetector(detector, Tiling(128, 128, 64)).detect(picture)
    assert sorted(found.boxes.tolist()) == [[512, 512, 768, 768], [512, 640, 544, 672]]
    assert found.scores.min() > 0.99


def test_a_large_face_is_found_in_the_whole_and_not_in_pieces(detector: Detector) -> None:
    # Two tiles a side; the face crosses the edges between them, and each has a corner of it.
    picture = red_detector.picture((256, 256), (96, 96, 160, 160))
    whole = detector.detect(picture)
    assert len(whole) > 0
    found = TiledDetector(detector, Tiling(128, 128, 0)).detect(picture)
    cut = [box for box in found.boxes.tolist() if 128 in (box[0], box[1], box[2], box[3])]
    assert not [box for box in cut if box not in whole.boxes.tolist()]
    assert {tuple(box) for box in whole.boxes.tolist()} <= {tuple(box) for box in found.boxes.tolist()}


def test_a_small_picture_is_not_cut(detector: Detector) -> None:
    picture = red_detector.picture((128, 100), (40, 40, 60, 60))
    tiled = TiledDetector(detector, Tiling(128, 128, 32)).detect(picture)
    plain = detector.detect(picture)
    np.testing.assert_array_equal(tiled.boxes, plain.boxes)
    np.testing.assert_array_equal(tiled.scores, plain.scores)


def test_what_is_prepared_ahead_gives_the_same(detector: Detector) -> None:
    picture = red_detector.picture((400, 300), (200, 100, 232, 132), (0, 0, 96, 96))
    tiled = TiledDetector(detector, Tiling(160, 160, 40))
    prepared = tiled.prepare(picture)
    assert prepared.letterbox.image_size == (400, 300)
    np.testing.assert_array_equal(tiled.detect(prepared).boxes, tiled.detect(picture).boxes)


@pytest.mark.parametrize("tiles", [(31, 640, 0), (640, 640, -1), (640, 100, 51)])
def test_bad_tiles_are_told_of(tiles: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError):
        load(tiles, "unused")
