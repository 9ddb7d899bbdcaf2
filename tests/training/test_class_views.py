from __future__ import annotations

import numpy as np
import pytest

from tests.training.classifiers import tiny_classifier
from tinier_yolo.darknet.network import Network
from tinier_yolo.training.class_views import ClassViews, cut_out, moved, recoloured


def naive_moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The image moved, its edges mirrored without repeating the outermost cell."""
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    return padded[4 + down :, 4 + right :][: image.shape[0], : image.shape[1]]


def test_every_image_is_one_of_the_possible_moves_and_all_of_them_come() -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, (3, 32, 16, 3), np.uint8)
    indices = np.arange(300) % 3
    found = moved(stack, indices, True, np.random.default_rng(1))
    seen = set()
    for index, image in zip(indices, found, strict=True):
        moves = {
            (down, right, mirrored): naive_moved(stack[index], down, right)[:, :: -1 if mirrored else 1]
            for down in range(-2, 3)
            for right in range(-1, 2)
            for mirrored in (False, True)
        }
        (fits,) = [move for move, expected in moves.items() if np.array_equal(image, expected)]
        seen.add(fits)
    assert len(seen) == 5 * 3 * 2


def test_without_flip_none_is_mirrored() -> None:
    stack = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    # Sides of 8 move by half a cell at the most: not at all.
    assert np.array_equal(moved(stack, np.array([1, 0, 1]), False, np.random.default_rng(0)), stack[[1, 0, 1]])


def test_a_crop_without_room_is_the_whole_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    views = ClassViews(8, 8, aspect=1 + 1e-9, flip=False)
    assert np.abs(cut_out(image, (8, 8), views, np.random.default_rng(0)).astype(int) - image).max() <= 1


def test_crops_of_a_picture_lie_inside_it() -> None:
    image = np.full((30, 50, 3), (90, 30, 200), np.uint8)  # any grey would come from outside
    views = ClassViews(12, 20, aspect=1.2)
    for seed in range(50):
        assert (cut_out(image, (12, 12), views, np.random.default_rng(seed)) == image[0, 0]).all()


def test_darknets_keys() -> None:
    def views(more: str) -> ClassViews:
        return ClassViews.of(Network.parse(tiny_classifier(more=more)))

    assert (views("").shortest, views("").longest, views("").moves) == (8, 8, True)
    assert (views("min_crop=10\n").shortest, views("min_crop=10\n").longest) == (10, 16)
    assert (views("max_crop=11\n").shortest, views("max_crop=11\n").longest) == (8, 11)
    assert views("max_crop=11\n").moves is False
    assert views("hue=.1\nsaturation=1.5\naspect=1.5\nangle=7\nflip=0\n") == ClassViews(8, 8, 1.5, 7, False, 0.1, 1.5)


def test_colours_change_and_keep_to_their_limits() -> None:
    image = np.full((4, 4, 3), (200, 100, 100), np.uint8)
    views = ClassViews(4, 4, saturation=2.0, exposure=1.2)
    assert views.recolours
    assert not ClassViews(4, 4).recolours
    brightest = [recoloured(image, views, np.random.default_rng(seed)).max() for seed in range(40)]
    assert min(brightest) < 190 < 210 < max(brightest) <= 241
    assert min(brightest) >= 200 / 1.2 - 2


@pytest.mark.parametrize("more", ["aspect=.5\n", "max_crop=4\n", "min_crop=20\nmax_crop=18\n", "max_crop=999999\n"])
def test_bad_keys(more: str) -> None:
    from tinier_yolo.errors import CfgError

    with pytest.raises(CfgError, match="line "):
        ClassViews.of(Network.parse(tiny_classifier(more=more)))
