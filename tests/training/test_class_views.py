from __future__ import annotations

import numpy as np
import pytest

from tests.training.classifiers import tiny_classifier
from tinier_yolo.darknet.network import Network
from tinier_yolo.training.class_views import ClassViews, covered, cut_out, moved, recoloured


def naive_moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The image moved, its edges mirrored without repeating the outermost cell."""
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    return padded[4 + down :, 4 + right :][: image.shape[0], : image.shape[1]]


def test_every_image_is_one_of_the_possible_moves_and_all_of_them_come() -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, (3, 32, 16, 3), np.uint8)
    indices = np.arange(600) % 3
    found = moved(stack[indices], ClassViews(16, 16, shift=2), np.random.default_rng(1))
    seen = set()
    for index, image in zip(indices, found, strict=True):
        moves = {
            (down, right, mirrored): naive_moved(stack[index], down, right)[:, :: -1 if mirrored else 1]
            for down in range(-2, 3)
            for right in range(-2, 3)
            for mirrored in (False, True)
        }
        (fits,) = [move for move, expected in moves.items() if np.array_equal(image, expected)]
        seen.add(fits)
    assert len(seen) == 5 * 5 * 2


def test_without_flip_none_is_mirrored() -> None:
    stack = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    views = ClassViews(8, 8, flip=False)
    assert np.array_equal(moved(stack[[1, 0, 1]], views, np.random.default_rng(0)), stack[[1, 0, 1]])


def test_a_square_of_each_image_is_covered_and_its_centre_lies_anywhere() -> None:
    images = np.full((2000, 6, 5, 3), 9, np.uint8)
    pixels = covered(images.copy(), 3, np.random.default_rng(0))
    seen = set()
    for image in pixels:
        rows, columns = np.nonzero((image == 127).all(axis=2))
        top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
        assert (image[top : bottom + 1, left : right + 1] == 127).all()
        assert np.count_nonzero(image == 9) == 3 * (30 - len(rows))
        seen.add((top, left, bottom, right))
    # Three cells a side; at the edges the square is cut to two.
    spans = [{(max(0, at - 1), min(length - 1, at + 1)) for at in range(length)} for length in (6, 5)]
    assert seen == {(top, left, bottom, right) for top, bottom in spans[0] for left, right in spans[1]}


def test_a_crop_without_room_is_the_whole_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    views = ClassViews(8, 8, aspect=1 + 1e-9, flip=False)
    assert np.abs(cut_out(image, (8, 8), views, np.random.default_rng(0)).astype(int) - image).max() <= 1


def test_crops_of_a_picture_lie_inside_it() -> None:
    image = np.full((30, 50, 3), (90, 30, 200), np.uint8)  # any grey would come from outside
    views = ClassViews(12, 20, aspect=1.2)
    for seed in range(50):
        assert (cut_out(image, (12, 12), views, np.random.default_rng(seed)) == image[0, 0]).all()


def test_a_crop_of_a_larger_image_that_is_not_scaled_takes_its_pixels_as_they_are() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    views = ClassViews(8, 8)
    parts = {
        image[top : top + 6, left : left + 6][:, ::direction].tobytes()
        for top in range(3)
        for left in range(4)
        for direction in (1, -1)
    }
    rng = np.random.default_rng(1)
    seen = {cut_out(image, (6, 6), views, rng).tobytes() for _ in range(1000)}
    assert seen == parts


def test_darknets_keys() -> None:
    def views(more: str) -> ClassViews:
        return ClassViews.of(Network.parse(tiny_classifier(more=more)))

    assert (views("").shortest, views("").longest, views("").moves) == (8, 8, True)
    assert (views("min_crop=10\n").shortest, views("min_crop=10\n").longest) == (10, 16)
    assert (views("max_crop=11\n").shortest, views("max_crop=11\n").longest) == (8, 11)
    assert views("max_crop=11\n").moves is False
    assert views("hue=.1\nsaturation=1.5\naspect=1.5\nangle=7\nflip=0\n") == ClassViews(8, 8, 1.5, 7, False, 0.1, 1.5)
    # By default a sixteenth of the input's side, here half a pixel: none.
    assert (views("").shift, views("").cutout) == (0, 0)
    assert (views("max_shift=3\ncutout=4\n").shift, views("max_shift=3\ncutout=4\n").cutout) == (3, 4)


def test_colours_change_and_keep_to_their_limits() -> None:
    image = np.full((4, 4, 3), (200, 100, 100), np.uint8)
    views = ClassViews(4, 4, saturation=2.0, exposure=1.2)
    assert views.recolours
    assert not ClassViews(4, 4).recolours
    brightest = [recoloured(image, views, np.random.default_rng(seed)).max() for seed in range(40)]
    assert min(brightest) < 190 < 210 < max(brightest) <= 241
    assert min(brightest) >= 200 / 1.2 - 2


@pytest.mark.parametrize(
    "more",
    [
        "aspect=.5\n",
        "max_crop=4\n",
        "min_crop=20\nmax_crop=18\n",
        "max_crop=999999\n",
        "max_shift=8\n",
        "max_shift=-1\n",
        "cutout=8\n",
    ],
)
def test_bad_keys(more: str) -> None:
    from tinier_yolo.errors import CfgError

    with pytest.raises(CfgError, match="line "):
        ClassViews.of(Network.parse(tiny_classifier(more=more)))
