from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests import naive
from tinier_yolo.detection.boxes import (
    BLOCK,
    clip,
    cxcywh_to_xyxy,
    iou,
    nms,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

corner = st.integers(0, 12)
box = st.tuples(corner, corner, corner, corner).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
candidates = st.lists(st.tuples(box, st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.integers(0, 1)), max_size=25)


def arrays(
    found: list[tuple[tuple[int, ...], float, int]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    boxes = np.array([entry[0] for entry in found], np.float32).reshape(-1, 4)
    return boxes, np.array([entry[1] for entry in found], np.float32), np.array([entry[2] for entry in found], np.int32)


@given(st.lists(box, max_size=6), st.lists(box, max_size=6))
def test_iou_equals_the_naive_one(first: list[tuple[int, ...]], second: list[tuple[int, ...]]) -> None:
    found = iou(np.array(first).reshape(-1, 4), np.array(second).reshape(-1, 4))
    assert found.shape == (len(first), len(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert found[i, j] == pytest.approx(naive.iou(a, b))


@pytest.mark.parametrize("count", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 150])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.45, 1.0])
def test_nms_of_several_blocks_equals_the_naive_one(count: int, threshold: float) -> None:
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(1, 30, (count, 2))), axis=1)
    scores, class_ids = rng.choice(np.linspace(0.1, 0.9, 40), count), rng.integers(0, 2, count)
    expected = naive.nms(boxes.tolist(), scores.tolist(), class_ids.tolist(), threshold)
    assert nms(boxes, scores, class_ids, threshold).tolist() == expected


@given(candidates, st.sampled_from([0.0, 0.2, 1 / 3, 0.45, 0.5, 1.0]))
def test_nms_equals_the_naive_one(found: list[tuple[tuple[int, ...], float, int]], threshold: float) -> None:
    boxes, scores, class_ids = arrays(found)
    expected = naive.nms(boxes.tolist(), scores.tolist(), class_ids.tolist(), threshold)
    assert nms(boxes, scores, class_ids, threshold).tolist() == expected


@given(candidates, st.randoms())
def test_nms_is_the_same_for_any_order_of_distinct_scores(
    found: list[tuple[tuple[int, ...], float, int]], random: object
) -> None:
    boxes, _, class_ids = arrays(found)
    scores = np.linspace(0.9, 0.1, len(found), dtype=np.float32)
    order = np.random.default_rng(len(found)).permutation(len(found))
    kept = nms(boxes, scores, class_ids, 0.3)
    again = nms(boxes[order], scores[order], class_ids[order], 0.3)
    assert kept.tolist() == order[again].tolist()


def test_nms_compares_strictly() -> None:
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 2]], np.float32)  # IoU exactly 0.5
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32)
    assert len(nms(boxes, scores, class_ids, 0.5)) == 2
    assert len(nms(boxes, scores, class_ids, 0.499)) == 1


def test_nms_leaves_other_classes_alone() -> None:
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 4]], np.float32)
    scores = np.array([0.8, 0.9], np.float32)
    assert nms(boxes, scores, np.array([0, 1]), 0.45).tolist() == [1, 0]
    assert nms(boxes, scores, np.array([1, 1]), 0.45).tolist() == [1]


def test_clip_cuts_to_the_image() -> None:
    boxes = np.array([[-5, -1, 12, 30], [2, 3, 4, 5], [20, 20, 30, 30]], np.float32)
    assert clip(boxes, 10, 8).tolist() == [[0, 0, 10, 8], [2, 3, 4, 5], [10, 8, 10, 8]]


def test_the_forms_of_boxes_go_both_ways() -> None:
    corners = np.array([[1, 2, 5, 10], [0, 0, 0, 3]], np.float64)
    assert xyxy_to_xywh(corners).tolist() == [[1, 2, 4, 8], [0, 0, 0, 3]]
    assert xyxy_to_cxcywh(corners).tolist() == [[3, 6, 4, 8], [0, 1.5, 0, 3]]
    for there, back in ((xyxy_to_xywh, xywh_to_xyxy), (xyxy_to_cxcywh, cxcywh_to_xyxy)):
        assert back(there(corners)).tolist() == corners.tolist()
        assert there(corners.astype(np.float32)[None]).dtype == np.float32
        assert there(corners[:0]).shape == (0, 4)
