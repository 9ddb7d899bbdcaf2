from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.training.augment import render
from tinier_yolo.training.views import Boxes, Views, draw_view, join, mosaic_tiles, see

IMAGE = (160, 120)
SIZE = (96, 64)
STILL = Views(scenes=1, jitter=0, rotate=0, mosaic=0, flip=False)


def truth(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> Boxes:
    return Boxes(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(len(boxes), np.int32),
        np.array(ignored or [], np.float32).reshape(-1, 4),
    )


def ellipse_drawing(boxes: list[list[float]]) -> np.ndarray:
    """Green ellipses on black that fill the boxes."""
    image = np.zeros((IMAGE[1], IMAGE[0], 3), np.uint8)
    for cx, cy, w, h in boxes:
        centre = (round(cx * IMAGE[0] * 16 - 8), round(cy * IMAGE[1] * 16 - 8))
        half = (round(w * IMAGE[0] * 8), round(h * IMAGE[1] * 8))
        cv2.ellipse(image, centre, half, 0, 0, 360, (0, 255, 0), -1, cv2.LINE_AA, 4)
    return image


@pytest.mark.parametrize("how", [Views(), Views(scenes=0, rotate=1), Views(scenes=1, rotate=0)])
@pytest.mark.parametrize("seed", range(15))
def test_boxes_follow_the_ellipse_that_is_drawn(seed: int, how: Views) -> None:
    boxes = [[0.5, 0.5, 0.2, 0.4]]
    view = draw_view(truth(boxes), IMAGE, SIZE, how, np.random.default_rng(seed))
    image = render(ellipse_drawing(boxes), view)
    mask = (image[..., 1].astype(int) - image[..., 0]) > 128
    for cx, cy, w, h in view.truth.boxes:
        ys, xs = np.nonzero(mask)
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        expected = np.array([(cx - w / 2) * 96, (cy - h / 2) * 64, (cx + w / 2) * 96, (cy + h / 2) * 64])
        scale = max(1.0, float(np.abs(view.matrix[:, :2]).max()))
        np.testing.assert_allclose(found, expected, atol=1.2 * scale)
    assert len(view.truth.boxes) + len(view.truth.ignored) >= 1 or not mask.any()


def test_the_box_of_a_turned_face_is_tighter_than_its_turned_corners() -> None:
    turn = np.radians(45)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 80], [np.sin(turn), np.cos(turn), -40]])
    view = see(truth([[0.5, 0.5, 40 / 160, 60 / 120]]), IMAGE, matrix, (160, 160))
    # Half axes 20 and 30 turned by 45 degrees: sqrt((20^2 + 30^2) / 2) each way; the corners would give 35.4.
    np.testing.assert_allclose(view.truth.boxes[0, 2:] * 160, 2 * np.sqrt((400 + 900) / 2), rtol=1e-5)


def test_the_same_chance_gives_the_same_view() -> None:
    known = truth([[0.5, 0.5, 0.25, 0.3]])
    first, second = (draw_view(known, IMAGE, SIZE, Views(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.matrix, second.matrix)
    assert np.array_equal(first.truth.boxes, second.truth.boxes)


def test_tiny_and_cut_faces_are_ignored_not_lost() -> None:
    known = truth([[0.5, 0.5, 0.01, 0.01]], [[0.5, 0.5, 0.2, 0.2]])
    view = draw_view(known, IMAGE, SIZE, STILL, np.random.default_rng(0))
    assert len(view.truth.boxes) == 0
    assert len(view.truth.ignored) == 2


def test_heights_are_spread_as_asked() -> None:
    how = Views(scenes=0, smallest=12, largest=0.8, magnify=100, shrink=0.01, rotate=0, mosaic=0)
    rng = np.random.default_rng(0)
    views = (draw_view(truth([[0.5, 0.5, 0.2, 0.3]]), IMAGE, (400, 400), how, rng) for _ in range(2000))
    heights = np.concatenate([view.heights for view in views])
    # Evenly in the logarithm from 12 to 320; the random aspect ratio blurs it by a few per cent.
    expected = np.exp(np.log(12) + np.array([0.1, 0.5, 0.9]) * np.log(320 / 12))
    np.testing.assert_allclose(np.percentile(heights, [10, 50, 90]), expected, rtol=0.12)


def test_the_scale_has_limits() -> None:
    known, rng = truth([[0.5, 0.5, 0.02, 0.02]]), np.random.default_rng(0)
    how = Views(scenes=0, magnify=3, shrink=0.5, jitter=0, rotate=0)
    scales = [np.abs(draw_view(known, IMAGE, (160, 120), how, rng).matrix[1, 1]) for _ in range(200)]
    assert max(scales) == pytest.approx(3)
    assert min(scales) >= 0.5 - 1e-9


@given(st.integers(0, 2**31), st.integers(20, 300), st.integers(20, 300))
def test_the_face_of_an_anchored_view_is_in_it(seed: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    box = [*rng.uniform(0.2, 0.8, 2), *rng.uniform(0.05, 0.3, 2)]
    view = draw_view(truth([box]), (width, height), (128, 96), Views(scenes=0, smallest=8), rng)
    assert len(view.truth.boxes) + len(view.truth.ignored) == 1
    for moved in (view.truth.boxes, view.truth.ignored):
        assert (moved[:, :2] - moved[:, 2:] / 2 >= -1e-5).all()
        assert (moved[:, :2] + moved[:, 2:] / 2 <= 1 + 1e-5).all()


@given(st.integers(0, 2**31))
def test_tiles_of_a_mosaic_cover_the_input_once(seed: int) -> None:
    size = (96, 64)
    covered = np.zeros(size[::-1], int)
    tiles = mosaic_tiles(size, np.random.default_rng(seed))
    for x, y, width, height in tiles:
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all()
    whole = truth([[0.5, 0.5, 1, 1]], [[0.5, 0.5, 0.5, 0.5]])
    joined = join([whole] * 4, tiles, size)
    for (x, y, width, height), (cx, cy, w, h) in zip(tiles, joined.boxes, strict=True):
        np.testing.assert_allclose(
            [(cx - w / 2) * 96, (cy - h / 2) * 64, w * 96, h * 64], [x, y, width, height], atol=1e-3
        )
    assert len(joined.ignored) == len(joined.class_ids) == 4
