from __future__ import annotations

import numpy as np
import pytest

from tinier_yolo.datasets.anchors import cluster_anchors, shape_iou
from tinier_yolo.errors import UsageError


def test_well_separated_clusters_are_found() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[10.0, 12.0], [40, 30], [100, 160]])
    boxes = np.concatenate([centre * rng.uniform(0.95, 1.05, (50, 2)) for centre in centres])
    found = cluster_anchors(rng.permutation(boxes), 3)
    np.testing.assert_allclose(found.anchors, centres, rtol=0.04)
    assert found.mean_iou > 0.9


def test_the_same_seed_gives_the_same_anchors() -> None:
    boxes = np.random.default_rng(0).uniform(5, 200, (300, 2))
    first, second = cluster_anchors(boxes, 5, seed=3), cluster_anchors(boxes, 5, seed=3)
    np.testing.assert_array_equal(first.anchors, second.anchors)
    assert (np.diff(first.anchors.prod(1)) > 0).all()


def test_shape_iou_is_that_of_concentric_boxes() -> None:
    np.testing.assert_allclose(
        shape_iou(np.array([[2.0, 2.0]]), np.array([[2.0, 2.0], [1, 4], [4, 4]])), [[1, 1 / 3, 0.25]]
    )


def test_too_few_boxes() -> None:
    with pytest.raises(UsageError, match="at least 2 distinct, found 1"):
        cluster_anchors(np.ones((9, 2)), 2)
