from __future__ import annotations

import numpy as np
import pytest

from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import DetectionsError

THREE = Detections.of([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]], [0.5, 0.9, 0.5], [0, 1, 2])


def test_empty_detections_have_the_shapes_of_full_ones() -> None:
    empty = Detections.empty()
    assert (empty.boxes.shape, empty.scores.shape, empty.class_ids.shape) == ((0, 4), (0,), (0,))
    assert (empty.boxes.dtype, empty.scores.dtype, empty.class_ids.dtype) == (np.float32, np.float32, np.int32)
    assert len(empty) == 0
    assert list(empty) == []
    assert len(empty.sorted().above(0.5)) == 0


def test_sorted_puts_the_highest_first_and_keeps_the_order_of_equals() -> None:
    assert THREE.sorted().class_ids.tolist() == [1, 0, 2]


def test_above_includes_the_threshold() -> None:
    assert THREE.above(0.5).class_ids.tolist() == [0, 1, 2]
    assert THREE.above(0.6).class_ids.tolist() == [1]


def test_iteration_and_picking() -> None:
    box, score, class_id = list(THREE)[1]
    assert (box.tolist(), score, class_id) == ([1, 1, 2, 2], pytest.approx(0.9), 1)
    assert THREE[1:].class_ids.tolist() == [1, 2]
    assert THREE[THREE.scores > 0.6].class_ids.tolist() == [1]
    assert THREE[np.array([2, 0])].class_ids.tolist() == [2, 0]


def test_classes_are_0_where_not_given() -> None:
    assert Detections.of([[0, 0, 1, 1]], [1]).class_ids.tolist() == [0]


def test_unequal_lengths_are_an_error() -> None:
    with pytest.raises(DetectionsError, match="unequal lengths"):
        Detections.of([[0, 0, 1, 1]], [0.5, 0.6])
    with pytest.raises(DetectionsError, match="unequal lengths"):
        Detections.of([[0, 0, 1, 1]], [0.5], [0, 1])
