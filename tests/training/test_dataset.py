from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinier_yolo.datasets.labels import Sample, load_samples
from tinier_yolo.errors import MediaError
from tinier_yolo.training.augment import Augmentation
from tinier_yolo.training.dataset import TrainingSet, ValidationSet, load_example
from tinier_yolo.training.views import Views

STILL = Views(scenes=1, jitter=0, rotate=0, mosaic=0, flip=False)
PLAIN = Augmentation(0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def samples(drawings: Path) -> tuple[Sample, ...]:
    return load_samples(drawings.parent / "list.txt")


def training_set(samples: tuple[Sample, ...], **changes: object) -> TrainingSet:
    options = {"batch": 4, "sizes": ((64, 64), (96, 64)), "views": Views(), "augmentation": Augmentation(), "seed": 1}
    options |= changes
    return TrainingSet(samples, **options)  # type: ignore[arg-type]


def test_a_batch_is_a_function_of_seed_and_step(samples: tuple[Sample, ...]) -> None:
    first, second = training_set(samples)[7], training_set(samples)[7]
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.truths, second.truths)
    other = training_set(samples, seed=2)[7]
    assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)


def test_each_epoch_has_every_image_once(samples: tuple[Sample, ...]) -> None:
    data = training_set(samples, views=STILL, augmentation=PLAIN, sizes=((64, 64),))
    seen = [image.numpy().tobytes() for step in range(3) for image in data[step].images]
    assert len(set(seen)) == len(samples) == 12
    assert [image.numpy().tobytes() for step in range(3, 6) for image in data[step].images] != seen


def test_processes_share_the_images_of_a_step(samples: tuple[Sample, ...]) -> None:
    whole = training_set(samples)[2]
    parts = [training_set(samples, batch=2, rank=rank, world=2)[2] for rank in range(2)]
    assert torch.equal(whole.images, torch.cat([part.images for part in parts]))


def test_a_size_is_held(samples: tuple[Sample, ...]) -> None:
    data = training_set(samples, hold=3)
    shapes = [tuple(data[step].images.shape[2:]) for step in range(30)]
    assert all(len(set(shapes[start : start + 3])) == 1 for start in range(0, 30, 3))
    assert set(shapes) == {(64, 64), (64, 96)}


def test_validation_is_letterboxed_with_its_boxes(samples: tuple[Sample, ...]) -> None:
    data = ValidationSet(samples, 5, (96, 96), True)
    assert len(data) == 3
    batch = data[0]
    assert batch.images.shape == (5, 3, 96, 96)
    assert (batch.images[0, :, :12] == 128).all()
    truth, box = batch.truths[0, 0], samples[0].boxes[0]
    np.testing.assert_allclose(truth[[0, 2]], box[[0, 2]], rtol=1e-5)
    np.testing.assert_allclose(truth[1], (box[1] * 72 + 12) / 96, rtol=1e-5)
    assert (data[1].ignored[0, :, 2] > 0).any()  # image 5


def test_an_image_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    empty = np.zeros((0, 4), np.float32)
    with pytest.raises(MediaError, match=r"a\.jpg: not an image"):
        load_example(Sample(tmp_path / "a.jpg", empty, np.zeros(0, np.int32), empty))


def test_a_mosaic_shows_four_views(samples: tuple[Sample, ...]) -> None:
    data = training_set(samples, views=Views(scenes=1, jitter=0, rotate=0, mosaic=1), augmentation=PLAIN)
    examples = [data.example(position, (128, 128)) for position in range(12)]
    faces = sum(len(example.truth.boxes) + len(example.truth.ignored) for example in examples)
    assert faces > 2.5 * sum(len(sample.boxes) for sample in samples)
    for example in examples:
        for cx, cy, _, _ in example.truth.boxes * 128:
            # The discs are brighter than anything else.
            assert example.image[int(cy), int(cx)].min() > 150


def test_a_photograph_is_turned_as_detection_turns_it(tmp_path: Path) -> None:
    from tests.media.test_images import jpeg_with_orientation

    (tmp_path / "phone.jpg").write_bytes(jpeg_with_orientation(np.full((40, 60, 3), 128, np.uint8), 6))
    empty = np.zeros((0, 4), np.float32)
    example = load_example(Sample(tmp_path / "phone.jpg", empty, np.zeros(0, np.int32), empty))
    assert example.size == (40, 60)
