from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.classifiers import tiny_classifier, write_colours
from tinier_yolo.darknet.network import Network
from tinier_yolo.media.images import read_image
from tinier_yolo.training import held_images
from tinier_yolo.training.class_feed import ClassFeed
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.processes import Processes


def feed(folder: Path, workers: int = 0, more: str = "flip=0\n", **options: int) -> ClassFeed:
    network = Network.parse(tiny_classifier(more=more))
    return ClassFeed.load(network, TrainingOptions(folder, Path("runs"), workers=workers, **options), Processes())


def test_every_image_comes_once_an_epoch_with_its_class(tmp_path: Path) -> None:
    found = feed(write_colours(tmp_path))
    assert found.counts == (24, 24)
    batches = list(found.batches(3, 6))  # 3 batches of 8 are an epoch; images of 8 pixels do not move
    pixels = {batch.images[i].numpy().tobytes(): int(batch.class_ids[i]) for batch in batches for i in range(8)}
    files = sorted(tmp_path.glob("train/*/*.png"))
    expected = {read_image(file).transpose(2, 0, 1).tobytes(): index // 8 for index, file in enumerate(files)}
    assert pixels == expected
    assert batches[0].images.dtype == torch.uint8


def test_batches_are_a_function_of_seed_and_iteration(tmp_path: Path) -> None:
    write_colours(tmp_path)
    more = "max_crop=14\nhue=.1\nsaturation=1.5\n"
    whole = list(feed(tmp_path, more=more).batches(0, 6))
    for workers in (0, 2):
        part = list(feed(tmp_path, workers, more).batches(4, 6))
        assert all(torch.equal(a.images, b.images) for a, b in zip(whole[4:], part, strict=True))
    other = next(feed(tmp_path, more=more, seed=1).batches(4, 5))
    assert not torch.equal(other.images, whole[4].images)


def test_images_of_the_inputs_size_are_scaled_to_a_fixed_crop(tmp_path: Path) -> None:
    write_colours(tmp_path)
    views = "flip=0\nmin_crop=16\nmax_crop=16\n"
    found = next(feed(tmp_path, more=views).batches(0, 1)).images
    whole = next(feed(tmp_path).batches(0, 1)).images
    assert not torch.equal(found, whole)


def test_how_images_are_kept_changes_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_colours(tmp_path)
    held = next(feed(tmp_path, more="max_shift=3\n").batches(0, 1))
    monkeypatch.setattr(held_images, "_free_memory", lambda: 0.0)
    decoded = next(feed(tmp_path, more="max_shift=3\n").batches(0, 1))
    assert torch.equal(held.images, decoded.images)


def test_validation_shows_each_image_once_in_order(tmp_path: Path) -> None:
    found = feed(write_colours(tmp_path, 40, (12, 9))).validation
    assert len(found) == 2
    batches = [found[index] for index in range(2)]
    assert [len(batch.images) for batch in batches] == [100, 20]
    assert torch.cat([batch.class_ids for batch in batches]).tolist() == np.repeat([0, 1, 2], 40).tolist()
    assert batches[0].images.shape == (100, 3, 8, 8)
