from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinier_yolo.detection.detections import Detections
from tinier_yolo.media.drawing import COLORS, LEAST_TEXT_HEIGHT, draw_detections

BLACK = np.zeros((120, 160, 3), np.uint8)


def changed(picture: np.ndarray, before: np.ndarray = BLACK) -> np.ndarray:
    return (picture != before).any(axis=2)


def test_the_picture_itself_stays_as_it_is() -> None:
    image = BLACK.copy()
    drawn = draw_detections(image, Detections.of([[40, 40, 90, 100]], [0.9]))
    assert not image.any()
    assert drawn.any()
    assert draw_detections(image, Detections.empty()).tolist() == image.tolist()


def test_the_frame_lies_around_the_box() -> None:
    drawn = draw_detections(BLACK, Detections.of([[40, 40, 90, 100]], [0.9]))
    assert not changed(drawn)[40:100, 40:90].any()
    for y, x in ((39, 60), (100, 60), (60, 39), (60, 90)):
        assert tuple(drawn[y, x]) == COLORS[0]


def test_the_score_stands_above_else_below_else_inside() -> None:
    for box, rows in (
        ((40, 60, 90, 100), slice(30, 58)),  # room above
        ((40, 2, 90, 60), slice(63, 90)),  # none above
        ((40, 2, 90, 118), slice(2, 30)),  # none above, none below
    ):
        label = (draw_detections(BLACK, Detections.of([box], [0.9]))[rows, 45:80] == COLORS[0]).all(axis=2)
        assert label.sum() > 100


def test_a_score_hides_neither_a_face_nor_another_score() -> None:
    # Two boxes one above the other with no room between them.
    boxes = [[40, 30, 90, 70], [40, 71, 90, 110]]
    drawn = changed(draw_detections(BLACK, Detections.of(boxes, [0.9, 0.8])))
    assert not drawn[31:69, 41:89].any()
    crowd = [[x, y, x + 6, y + 6] for x in range(4, 150, 9) for y in range(4, 110, 9)]
    drawn = changed(draw_detections(BLACK, Detections.of(crowd, [0.5] * len(crowd))))
    for left, top, right, bottom in crowd:
        assert not drawn[top + 1 : bottom - 1, left + 1 : right - 1].any()


@pytest.mark.parametrize("size", [(30, 40), (240, 320), (1080, 1920), (3000, 4000)])
def test_letters_can_be_read_at_any_size_of_picture(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    height, width = size
    box = [0.4 * width, 0.6 * height, 0.6 * width, 0.9 * height]
    label = changed(draw_detections(image, Detections.of([box], [0.9])), image)[
        : int(0.6 * height) - 2 * height // 100 - 1
    ]
    assert label.any(axis=1).sum() >= max(LEAST_TEXT_HEIGHT, height // 50) or height < 40


def test_classes_have_colours_and_names() -> None:
    boxes = [[10, 60, 40, 100], [90, 60, 120, 100]]
    drawn = draw_detections(BLACK, Detections.of(boxes, [0.9, 0.8], [0, 1]), ("face", "mask"))
    assert tuple(drawn[80, 9]) == COLORS[0]
    assert tuple(drawn[80, 89]) == COLORS[1]
    one_class = draw_detections(BLACK, Detections.of(boxes[:1], [0.9]))
    assert changed(drawn)[:55, :80].sum() > changed(one_class)[:55, :80].sum()


coordinate = st.floats(-50, 250, width=32)


@settings(deadline=None)
@given(
    st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=5),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_any_boxes_can_be_drawn_on_any_picture(boxes: list[tuple[float, ...]], width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    drawn = draw_detections(image[:, ::-1], Detections.of(boxes, np.linspace(1, 0, len(boxes))))
    assert drawn.shape == image.shape
