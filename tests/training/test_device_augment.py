from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_dataset import PLAIN, training_set
from tinier_yolo.datasets.labels import Sample, load_samples
from tinier_yolo.training.augment import Effects, Patch, apply_effects
from tinier_yolo.training.dataset import TrainingSet, load_example
from tinier_yolo.training.device_augment import apply_effects as apply_planned
from tinier_yolo.training.device_augment import make_images
from tinier_yolo.training.device_plan import PlannedBatch, PlannedSet, plan_effects
from tinier_yolo.training.views import Views


def apply_on_device(images: torch.Tensor, effects: Sequence[Effects], *generator: torch.Generator) -> torch.Tensor:
    return apply_planned(images, plan_effects(effects, (images.shape[3], images.shape[2])), *generator)


@pytest.fixture
def samples(drawings: Path) -> tuple[Sample, ...]:
    return load_samples(drawings.parent / "list.txt")


def on_device(views: TrainingSet, side: int = 100) -> tuple[torch.Tensor, PlannedSet]:
    """The images as a device would hold them, and the plans."""
    examples = [load_example(sample) for sample in views.samples]
    pixels = np.full((len(examples), side, side, 3), 128, np.uint8)
    for target, example in zip(pixels, examples, strict=True):
        target[: example.size[1], : example.size[0]] = example.image
    return torch.from_numpy(pixels), PlannedSet(views, np.array([example.size for example in examples]))


@pytest.mark.parametrize("mosaic", [0.0, 0.5, 1.0])
def test_views_are_those_of_the_cpu(samples: tuple[Sample, ...], mosaic: float) -> None:
    views = training_set(samples, batch=12, views=Views(mosaic=mosaic), augmentation=PLAIN)
    pixels, planned = on_device(views)
    for step in (0, 20):
        expected, plan = views[step], planned[step]
        images = make_images(pixels, plan)
        assert images.shape == expected.images.shape
        assert images.is_contiguous(memory_format=torch.channels_last)
        difference = (images - expected.images).abs()
        assert difference.mean() < 1.0  # OpenCV's weights have five bits, its hues are even degrees
        assert difference.quantile(0.99) < 12
        assert torch.equal(plan.truths, expected.truths)
        assert torch.equal(plan.ignored, expected.ignored)


def test_a_view_that_moves_by_whole_pixels_is_exact() -> None:
    pixels = torch.randint(0, 256, (1, 40, 40, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    matrix = np.array([[[1.0, 0, -3], [0, 1, 5]]])
    effects, nothing = plan_effects([Effects()], (32, 24)), torch.zeros(1)
    batch = PlannedBatch((32, 24), np.array([0]), matrix, np.array([0]), [], effects, nothing, nothing)
    expected = torch.full((1, 3, 24, 32), 128.0)
    expected[0, :, 5:] = pixels[0, :19, 3:35].permute(2, 0, 1)
    torch.testing.assert_close(make_images(pixels, batch), expected, rtol=0, atol=1)


PATCHES = (
    Patch((20.0, 20.0), (8.0, 6.0), False, (250, 10, 10), (0.0, 0.0)),
    Patch((40.0, 30.0), (9.0, 12.0), True, None, (2.0, 3.0)),
    Patch((62.0, 47.0), (9.0, 12.0), True, (1, 2, 3), (2.0, 3.0)),
)


@pytest.mark.parametrize(
    ("effects", "mean"),
    [
        (Effects(), 1.0),
        (Effects(patches=PATCHES), 1.0),
        (Effects(grey=True, exposure=1.2, gamma=0.7), 1.0),
        (Effects(hue=15, saturation=0.7, exposure=0.8, gamma=1.5), 1.5),
        (Effects(saturation=1.5, exposure=1.5), 1.5),
        (Effects(defocus=2.0), 1.0),
        (Effects(defocus=30.0), 2.5),
        (Effects(motion=(9.0, 0.6)), 1.0),
        (Effects(shrink=2.0), 1.0),
        (Effects(shrink=2.7), 3.0),
    ],
    ids=str,
)
def test_an_effect_is_that_of_the_cpu(effects: Effects, mean: float) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
    image = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:48, :64]
    expected = apply_effects(image, effects).astype(np.float32)
    batch = torch.from_numpy(np.stack([image, image])).permute(0, 3, 1, 2).float()
    found = apply_on_device(batch.clone(), [effects, Effects()])
    difference = np.abs(found[0].permute(1, 2, 0).numpy() - expected)
    assert difference.mean() < mean
    assert np.abs(image - expected).mean() > 3 * mean or effects in (Effects(),)
    torch.testing.assert_close(found[1], batch[1], rtol=0, atol=0.01)  # the other image of the batch is left alone


def test_noise_has_its_strength_and_its_generator() -> None:
    plain = torch.full((2, 3, 64, 64), 128.0)
    effects = [Effects(noise=(8.0, 1)), Effects()]
    first, again = (apply_on_device(plain.clone(), effects, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert float(first[0].std()) == pytest.approx(8, rel=0.05)
    assert float(first[1].std()) < 1e-3


def test_jpeg_is_left_out() -> None:
    plain = torch.rand((1, 3, 16, 16)) * 255
    found = apply_on_device(plain.clone(), [replace(Effects(), jpeg=12)])
    torch.testing.assert_close(found, plain, rtol=0, atol=0.01)
