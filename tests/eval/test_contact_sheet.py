from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.eval.fakes import draw
from tests.eval.test_error_analysis import judged
from tinier_yolo.eval.contact_sheet import crop, write_errors
from tinier_yolo.eval.error_analysis import Error, FalseAlarm, Miss, analyse
from tinier_yolo.eval.figure import ANNOTATION, FALSE_ALARM, MISSED
from tinier_yolo.media.images import read_image

GREY = np.full((100, 120, 3), 60, np.uint8)


def has(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=2).any())


def test_a_crop_has_its_box_in_the_middle_at_half_the_side() -> None:
    error = Error("a", Path("a"), Miss.NO_RESPONSE, (40, 30, 60, 50), 20, None, 0, None)
    picture = crop(error, GREY, 160)
    assert picture.shape == (160, 160, 3)
    rows, columns = np.nonzero((picture == MISSED).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (39, 120, 39, 120)
    assert picture[80, 80].tolist() == [60, 60, 60]


def test_colours_tell_faces_from_detections() -> None:
    place, other = (40.0, 30.0, 60.0, 50.0), (44.0, 34.0, 64.0, 54.0)
    miss = crop(Error("a", Path("a"), Miss.LOOSE_BOX, place, 20, 0.5, 0.4, other), GREY)
    alarm = crop(Error("a", Path("a"), FalseAlarm.LOOSE_BOX, place, 20, 0.5, 0.4, other), GREY)
    assert (has(miss, MISSED), has(miss, FALSE_ALARM), has(miss, ANNOTATION)) == (True, True, False)
    assert (has(alarm, MISSED), has(alarm, FALSE_ALARM), has(alarm, ANNOTATION)) == (False, True, True)


def test_boxes_of_any_size_and_beyond_the_image() -> None:
    for box in ((-5.0, -5.0, 5.0, 5.0), (0.0, 0.0, 1e9, 1.0), (7.0, 7.0, 7.0, 7.0), (500.0, 500.0, 600.0, 600.0)):
        picture = crop(Error("a", Path("a"), FalseAlarm.LOOSE_BOX, box, 1, 0.5, 0, (-1e12, 0.0, 1e12, 9.0)), GREY, 64)
        assert picture.shape == (64, 64, 3)


def test_the_sheet_has_a_block_a_kind(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", (120, 100))
    face, rows = (10.0, 10.0, 30.0, 30.0), [(10.0, 10.0, 30.0, 19.0, 0.6)]
    path = str(tmp_path / "a.png")
    write_errors(tmp_path / "one", analyse([judged([face], rows, name=path)], 0.5, (416, 416)))
    # Two blocks (missed: loose box; false alarm: loose box) of a title and one row.
    assert read_image(tmp_path / "one/errors.png").shape == (2 * (34 + 180), 1920, 3)
    assert json.loads((tmp_path / "one/errors.json").read_text())["misses"]["loose_box"] == 1
    many = analyse([judged([face], [], name=path) for _ in range(100)], 0.5, (416, 416))
    write_errors(tmp_path / "many", many)
    assert read_image(tmp_path / "many/errors.png").shape == (34 + 4 * 180, 1920, 3)
    write_errors(tmp_path / "none", analyse([judged([face], [(*face, 0.9)], name=path)], 0.5, (416, 416)))
    assert [file.name for file in (tmp_path / "none").iterdir()] == ["errors.json"]
