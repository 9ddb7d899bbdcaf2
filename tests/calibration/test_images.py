"""Metrics: what output maps are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import fixed_point_detector
from tests.media.test_images import jpeg_with_orientation
from tests.training.classifiers import CLASSES, write_colours
from tinier_yolo.calibration.images import RightClasses, load_images, load_other_images, others, spread
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import UsageError
from tinier_yolo.media.images import read_image

MEAN = (
    "[net]\nwidth=4\nheight=4\n[convolutional]\nfilters={}\nsize=1\nactivation=linear\n[avgpool]\n[softmax]\n"  # 4 x 4
)


def test_top1_is_the_share_of_maps_whose_mean_is_largest_in_the_right_class() -> None:
    # The mean decides, not the largest value; of equal ones the first class.
    maps = [
        np.array([[[9, 0]], [[5, 5]], [[0, 0]]], np.int32),
        np.array([[[9, 0]], [[5, 5]], [[0, 0]]], np.int32),
        np.array([[[1, 1]], [[0, 2]], [[0, 0]]], np.int32),
        np.array([[[0, 0]], [[0, 0]], [[-1, 2]]], np.int32),
    ]
    assert RightClasses(np.array([1, 0, 0, 2]))(maps, 3) == 0.75
    assert RightClasses(np.array([1, 0, 1, 0]))(maps, 3) == 0.25


def test_images_of_a_classifier(tmp_path: Path) -> None:
    data = write_colours(tmp_path / "data", 4, size=(8, 8))
    images = load_images(Network.parse(MEAN.format(3)), data, 6, "top1")
    assert [image.shape for image in images.pixels] == [(4, 4, 3)] * 6
    assert images.class_names == CLASSES
    # Spread over the classes, of the test folder: 2 of each.
    right = [np.eye(3, dtype=np.float32)[number // 2][:, None, None] for number in range(6)]
    assert images.metric(right, 0) == 1.0
    assert images.pixels[0][..., 2].mean() > images.pixels[0][..., 0].mean()  # bluish, in RGB
    assert len(load_images(Network.parse(MEAN.format(3)), data, 100, "top1").pixels) == 12


@pytest.mark.parametrize(("total", "count"), [(300, 100), (7, 3), (5, 4), (5, 1)])
def test_other_images_are_none_of_the_chosen_ones(total: int, count: int) -> None:
    chosen, rest = spread(total, count), others(total, count)
    assert len(rest) == min(count, total - count)
    assert not set(chosen) & set(rest)
    assert set(chosen + rest) <= set(range(total))
    assert others(total, total) == []


def test_there_are_no_other_images_where_all_were_taken(tmp_path: Path) -> None:
    data = fixed_point_detector.write_set(tmp_path, 3)
    network = fixed_point_detector.network()
    assert load_other_images(network, data, 3, "ap").pixels == []
    chosen, other = (load(network, data, 2, "ap") for load in (load_images, load_other_images))
    assert [len(own.pixels) for own in (chosen, other)] == [2, 1]
    assert not any(np.array_equal(other.pixels[0], own) for own in chosen.pixels)


def test_photographs_are_seen_upright_as_they_are_labelled(tmp_path: Path) -> None:
    network, data = fixed_point_detector.network(), fixed_point_detector.write_set(tmp_path, 1)
    upright = load_images(network, data, 1, "ap").pixels[0]
    stored = np.ascontiguousarray(np.rot90(read_image(tmp_path / "images/0.png")))
    (tmp_path / "images/0.png").unlink()
    (tmp_path / "images/0.jpg").write_bytes(jpeg_with_orientation(stored, 6))  # to be turned right
    (tmp_path / "val.txt").write_text("images/0.jpg\n")
    turned = load_images(network, data, 1, "ap").pixels[0]
    assert np.abs(turned.astype(int) - upright).mean() < 5


def test_metrics_of_other_networks_are_refused(tmp_path: Path) -> None:
    data = write_colours(tmp_path / "data", 1)
    with pytest.raises(UsageError, match=r"other classes than the data \(expected 3, found 5\)"):
        load_images(Network.parse(MEAN.format(5)), data, 6, "top1")
    with pytest.raises(UsageError, match="--metric top1 is one of classifiers"):
        load_images(fixed_point_detector.network(), data, 6, "top1")
    with pytest.raises(UsageError, match="--metric ap is one of detectors"):
        load_images(Network.parse(MEAN.format(3)), data, 6, "ap")
