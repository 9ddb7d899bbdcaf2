from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.detection.letterbox import PADDING, Letterbox

sides = st.integers(1, 5000)
sizes = st.tuples(sides, sides)
network_sizes = st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda size: (32 * size[0], 32 * size[1]))


@given(sizes, network_sizes, st.booleans(), st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4))
def test_to_image_is_the_inverse_of_to_network(
    image: tuple[int, int], network: tuple[int, int], letter_box: bool, box: list[float]
) -> None:
    letterbox = Letterbox.fit(image, network, letter_box)
    boxes = np.array([box])
    np.testing.assert_allclose(letterbox.to_image(letterbox.to_network(boxes)), boxes, atol=1e-6)


@given(sizes, network_sizes, st.booleans())
def test_the_image_lies_inside_the_input(image: tuple[int, int], network: tuple[int, int], letter_box: bool) -> None:
    letterbox = Letterbox.fit(image, network, letter_box)
    (left, top, right, bottom) = letterbox.to_network(np.array([[0, 0, *image]]))[0]
    np.testing.assert_allclose((left, top), letterbox.offset)
    np.testing.assert_allclose((right - left, bottom - top), letterbox.resized)
    assert min(left, top) >= 0
    assert right <= network[0] + 1e-6
    assert bottom <= network[1] + 1e-6
    fills = [letterbox.resized[axis] == network[axis] for axis in (0, 1)]
    assert any(fills) if letter_box else all(fills)


@pytest.mark.parametrize(
    ("image", "network", "resized", "offset"),
    [
        ((640, 480), (416, 416), (416, 312), (0, 52)),
        ((480, 640), (416, 416), (312, 416), (52, 0)),
        ((1280, 720), (416, 416), (416, 234), (0, 91)),
        ((416, 416), (416, 416), (416, 416), (0, 0)),
        ((100, 99), (416, 416), (416, 411), (0, 2)),  # the odd row of grey stands below
        ((100, 100), (416, 320), (320, 320), (48, 0)),
        ((20_000, 10), (416, 416), (416, 1), (0, 207)),
    ],
)
def test_geometry_is_darknets(
    image: tuple[int, int], network: tuple[int, int], resized: tuple[int, int], offset: tuple[int, int]
) -> None:
    letterbox = Letterbox.fit(image, network)
    assert (letterbox.resized, letterbox.offset) == (resized, offset)


@pytest.mark.parametrize("letter_box", [True, False])
def test_apply_puts_the_resized_image_on_grey(letter_box: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    letterbox = Letterbox.fit((50, 30), (96, 64), letter_box)
    canvas = np.full((64, 96, 3), 7, np.uint8)
    assert letterbox.apply(image, canvas) is canvas
    np.testing.assert_array_equal(canvas, letterbox.apply(image))
    (width, height), (left, top) = letterbox.resized, letterbox.offset
    inside = canvas[top : top + height, left : left + width].copy()
    np.testing.assert_array_equal(inside, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    canvas[top : top + height, left : left + width] = PADDING
    assert (canvas == PADDING).all()


def test_apply_copies_an_image_that_fits() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Letterbox.fit((64, 64), (64, 64)).apply(image), image)


def test_an_edge_stays_where_the_geometry_says() -> None:
    # White from x = 60 of 120: after the resize the step lies at half the width, not half a pixel beside it.
    image = np.zeros((40, 120, 3), np.uint8)
    image[:, 60:] = 255
    letterbox = Letterbox.fit((120, 40), (64, 64))
    row = letterbox.apply(image)[32, :, 0].astype(float)
    assert letterbox.to_network(np.array([[60, 0, 60, 40]]))[0, 0] == 32
    assert row[31] + row[32] == pytest.approx(255, abs=2)


def test_views_that_are_not_contiguous_are_taken() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    letterbox = Letterbox.fit((50, 30), (64, 64))
    np.testing.assert_array_equal(letterbox.apply(image[..., ::-1]), letterbox.apply(image)[..., ::-1])
