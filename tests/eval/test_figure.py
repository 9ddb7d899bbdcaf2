from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eval.fakes import draw
from tinier_yolo.errors import MediaError, UsageError
from tinier_yolo.eval.figure import Panel, annotate, check_names, choose, draw_figure, rows_of, write_pictures
from tinier_yolo.media.images import read_image

FOUND, FALSE_ALARM, MISSED, ANNOTATION = (0, 200, 140), (225, 85, 0), (240, 228, 66), (255, 255, 255)
GREY = np.full((100, 120, 3), 128, np.uint8)


def panel(path: Path = Path("none")) -> Panel:
    return Panel(
        "event/a.b",
        path,
        np.array([[10.0, 10, 30, 32], [60, 60, 80, 80], [90, 10, 110, 30], [10, 60, 30, 80]]),
        np.array([0.9, 0.8, 0.7, 0.1]),
        np.array([[10.0, 10, 30, 30], [10, 60, 30, 80]]),
        np.array([[90.0, 10, 110, 30]]),
    )


def has(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=2).any())


def test_found_missed_and_wrong_get_their_colours() -> None:
    picture = annotate(panel(), GREY, thresh=0.25)
    assert picture[31, 20].tolist() == list(FOUND)
    assert picture[60, 70].tolist() == list(FALSE_ALARM)
    assert picture[60, 20].tolist() == list(MISSED)
    assert all(has(picture, color) for color in (FOUND, FALSE_ALARM, MISSED))
    assert not has(GREY, FOUND)
    # The box on an ignored face is not drawn as a false alarm.
    assert not has(picture[:40, 85:], FALSE_ALARM)


def test_the_threshold_decides_what_is_found() -> None:
    assert not has(annotate(panel(), GREY, thresh=0.05), MISSED)
    nothing = annotate(panel(), GREY, thresh=0.95)
    assert has(nothing, MISSED)
    assert not has(nothing, FOUND)


def test_scale() -> None:
    picture = annotate(panel(), GREY, 0.25, scale=2.0)
    assert picture.shape == (200, 240, 3)
    assert picture[120, 140].tolist() == list(FALSE_ALARM)


def test_figure_and_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", (120, 100))
    panels = [panel(tmp_path / "a.png")] * 5
    draw_figure(tmp_path / "figure.png", panels, 0.25)
    figure = read_image(tmp_path / "figure.png")
    assert figure.shape[1] == 2400
    assert all(has(figure, color) for color in (FOUND, FALSE_ALARM, MISSED, ANNOTATION))
    write_pictures(tmp_path / "pictures", [panels[0], panel(tmp_path / "missing.png")], 0.25)
    assert read_image(tmp_path / "pictures/event/a.b.jpg").shape == (100, 120, 3)
    with pytest.raises(MediaError, match="cannot read"):
        draw_figure(tmp_path / "other.png", [panel(tmp_path / "missing.png")], 0.25)


@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=30))
def test_rows_keep_order_and_lose_nothing(aspects: list[float]) -> None:
    rows = rows_of(aspects)
    assert [index for row in rows for index in row] == list(range(len(aspects)))
    assert all(rows)


def test_rows_of_equal_pictures_are_even() -> None:
    assert [len(row) for row in rows_of([1.5] * 12)] in ([4, 4, 4], [3, 3, 3, 3])
    assert rows_of([0.01]) == [[0]]


def test_choose_spreads_over_the_candidates() -> None:
    names = [str(n) for n in range(10)]
    assert choose(names, 3) == ["0", "4", "9"]
    assert choose(names, 99) == names
    assert choose(names, 1) == ["0"]
    with pytest.raises(UsageError, match="no image has a face of that kind"):
        choose([], 3)


def test_names_are_checked() -> None:
    assert check_names(["b", "a"], {"a": 1, "b": 2}) == ["b", "a"]
    with pytest.raises(UsageError, match=r"no such image in the set \(expected for example a, found c\)"):
        check_names(["c"], {"a": 1})
