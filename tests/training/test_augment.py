from __future__ import annotations

import cv2
import numpy as np
import pytest

from tinier_yolo.training.augment import Augmentation, Example, augment, distort

SIZE = (96, 64)


def drawing(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> Example:
    """Green rectangles on black where the boxes are."""
    image = np.zeros((120, 160, 3), np.uint8)
    for cx, cy, w, h in boxes:
        low, high = ((cx - w / 2) * 160, (cy - h / 2) * 120), ((cx + w / 2) * 160 - 1, (cy + h / 2) * 120 - 1)
        cv2.rectangle(image, tuple(map(round, low)), tuple(map(round, high)), (0, 255, 0), -1)
    return Example(
        image,
        np.array(boxes, np.float32),
        np.zeros(len(boxes), np.int32),
        np.array(ignored or [], np.float32).reshape(-1, 4),
    )


@pytest.mark.parametrize("seed", range(40))
def test_boxes_follow_what_is_drawn(seed: int) -> None:
    example = drawing([[0.5, 0.5, 0.25, 0.3]])
    quiet = Augmentation(hue=0, saturation=1, exposure=1, grey=0)
    view = augment(example, SIZE, quiet, np.random.default_rng(seed))
    assert view.image.shape == (64, 96, 3)
    mask = (view.image[..., 1].astype(int) - view.image[..., 0]) > 128
    for cx, cy, w, h in view.boxes:
        ys, xs = np.nonzero(mask)
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        expected = np.array([(cx - w / 2) * 96, (cy - h / 2) * 64, (cx + w / 2) * 96, (cy + h / 2) * 64])
        np.testing.assert_allclose(found, expected, atol=1.0)
    assert len(view.boxes) + len(view.ignored) >= 1 or not mask.any()


def test_the_same_chance_gives_the_same_view() -> None:
    example = drawing([[0.5, 0.5, 0.25, 0.3]])
    first, second = (augment(example, SIZE, Augmentation(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.boxes, second.boxes)


def test_tiny_and_cut_faces_are_ignored_not_lost() -> None:
    example = drawing([[0.5, 0.5, 0.01, 0.01]], [[0.5, 0.5, 0.2, 0.2]])
    still = Augmentation(jitter=0, hue=0, saturation=1, exposure=1, flip=False, small_faces=0, grey=0)
    view = augment(example, SIZE, still, np.random.default_rng(0))
    assert len(view.boxes) == 0
    assert len(view.ignored) == 2


def test_small_face_crops_give_faces_of_all_sizes() -> None:
    example = drawing([[0.3, 0.6, 0.15, 0.2]])
    how = Augmentation(small_faces=1.0)
    rng = np.random.default_rng(0)
    heights = [h * 64 for _ in range(200) for h in augment(example, SIZE, how, rng).boxes[:, 3]]
    assert len(heights) > 60
    assert np.percentile(heights, 90) > 2 * np.percentile(heights, 10)


def test_grey_and_identity_distortions() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    grey = distort(image, Augmentation(grey=1.0), np.random.default_rng(0))
    assert (grey == grey[..., :1]).all()
    same = distort(image, Augmentation(hue=0, saturation=1, exposure=1, grey=0), np.random.default_rng(0))
    assert np.abs(same.astype(int) - image).max() <= 6  # OpenCV's 8-bit HSV is coarse
