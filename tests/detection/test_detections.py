from __future__ import annotations

import sys

import numpy as np
import pytest

from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import DetectionsError, UsageError

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


def test_a_data_frame_has_a_row_for_each() -> None:
    pytest.importorskip("pandas")
    frame = THREE.to_dataframe(("face", "mask", "hat"))
    assert list(frame.columns) == ["x1", "y1", "x2", "y2", "score", "class"]
    assert frame.loc[1].tolist() == [1, 1, 2, 2, pytest.approx(0.9), "mask"]
    assert THREE.to_dataframe()["class"].tolist() == [0, 1, 2]
    assert len(Detections.empty().to_dataframe(("face",))) == 0


def test_supervision_gets_the_same_boxes() -> None:
    pytest.importorskip("supervision")
    found = THREE.to_supervision(("face", "mask", "hat"))
    np.testing.assert_array_equal(found.xyxy, THREE.boxes)
    np.testing.assert_array_equal(found.confidence, THREE.scores)
    assert found.class_id.tolist() == [0, 1, 2]
    assert found.data["class_name"].tolist() == ["face", "mask", "hat"]
    assert len(THREE.to_supervision()) == 3
    assert len(Detections.empty().to_supervision(("face",))) == 0


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_dataframe"), ("supervision", "to_supervision")])
def test_a_package_that_is_missing_is_named(package: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"pip install {package}"):
        getattr(THREE, method)()
