from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from tinier_yolo.training.augment import Augmentation, Effects, Patch, apply_effects, draw_effects
from tinier_yolo.training.preview import EFFECTS
from tinier_yolo.training.views import Boxes, View

PLAIN = Augmentation(0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)


def noise_image(size: int = 96) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (size, size, 3), np.uint8)


def face_view(height: float = 0.5) -> View:
    boxes = np.array([[0.5, 0.5, height * 0.8, height]], np.float32)
    return View(np.eye(2, 3), (96, 96), Boxes(boxes, np.zeros(1, np.int32), boxes[:0]))


def sharpness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def test_nothing_asked_nothing_done() -> None:
    effects = draw_effects(face_view(), PLAIN, np.random.default_rng(0))
    assert effects == Effects()
    image = noise_image()
    assert np.abs(apply_effects(image, effects).astype(int) - image).max() <= 6  # OpenCV's 8-bit HSV is coarse


def test_every_share_has_a_row_in_the_preview() -> None:
    assert {field.name for field in fields(Augmentation)} == {"hue", "saturation", "exposure", *EFFECTS}


@pytest.mark.parametrize("name", EFFECTS)
def test_each_effect_alone_changes_the_image_and_a_share_of_0_does_not(name: str) -> None:
    image = noise_image()
    before = image.copy()
    plain = apply_effects(image, Effects())
    changed = []
    for seed in range(10):
        alone = Augmentation(0, 1, 1, **{other: float(other == name) for other in EFFECTS})
        result = apply_effects(image, draw_effects(face_view(), alone, np.random.default_rng(seed)))
        assert result.shape == image.shape
        assert result.dtype == np.uint8
        changed.append(not np.array_equal(result, plain))
    assert sum(changed) >= 9
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", ["defocus", "motion"])
def test_blur_grows_with_the_face(name: str) -> None:
    alone = Augmentation(0, 1, 1, **{other: float(other == name) for other in EFFECTS})

    def strength(height: float) -> float:
        effects = draw_effects(face_view(height), alone, np.random.default_rng(1))
        return effects.defocus if name == "defocus" else effects.motion[0]

    assert strength(0.8) == pytest.approx(4 * strength(0.2), rel=1e-6)


def test_blur_and_lost_resolution_take_sharpness() -> None:
    image = noise_image()
    for effects in (Effects(defocus=2.0), Effects(motion=(9.0, 0.3)), Effects(shrink=3.0), Effects(jpeg=12)):
        assert sharpness(apply_effects(image, effects)) < 0.8 * sharpness(image)


def test_a_patch_covers_its_place_alone() -> None:
    image = noise_image()
    patch = Patch((40.0, 30.0), (10.0, 5.0), False, (255, 0, 0), (0.0, 0.0))
    covered = apply_effects(image, Effects(patches=(patch,)))
    red = (covered == (255, 0, 0)).all(-1)
    ys, xs = np.nonzero(red)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (30, 50, 25, 35)
    assert red.sum() == 21 * 11


def test_patches_lie_over_faces_and_may_reach_over_the_border() -> None:
    boxes = np.array([[0.02, 0.97, 0.3, 0.4]], np.float32)
    view = View(np.eye(2, 3), (96, 96), Boxes(boxes, np.zeros(1, np.int32), boxes[:0]))
    alone = Augmentation(0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1.0)
    for seed in range(50):
        effects = draw_effects(view, alone, np.random.default_rng(seed))
        assert len(effects.patches) == 1
        assert apply_effects(noise_image(), effects).shape == (96, 96, 3)


def test_one_share_does_not_change_the_others() -> None:
    rng = (np.random.default_rng(5) for _ in range(2))
    with_jpeg, without = (
        draw_effects(face_view(), how, next(rng))
        for how in (Augmentation(jpeg=1, noise=0), Augmentation(jpeg=0, noise=0))
    )
    assert with_jpeg.jpeg
    assert (with_jpeg.defocus, with_jpeg.shrink, with_jpeg.hue) == (without.defocus, without.shrink, without.hue)
