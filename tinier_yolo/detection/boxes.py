"""Boxes: their forms, and of boxes xyxy overlap, suppression and clipping.

The forms are ``xyxy`` (left, top, right, bottom), ``xywh`` (left, top, width, height) and ``cxcywh`` (centre, width,
height). All functions that change a form take and return (..., 4), of any float type, in any unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Boxes whose overlaps with all others are found at once: more than a picture has faces, little memory.
BLOCK = 32


def xywh_to_xyxy(boxes: NDArray[Any]) -> NDArray[Any]:
    """Left, top, width, height -> left, top, right, bottom."""
    return _joined(boxes[..., :2], boxes[..., :2] + boxes[..., 2:])


def xyxy_to_xywh(boxes: NDArray[Any]) -> NDArray[Any]:
    """Left, top, right, bottom -> left, top, width, height."""
    return _joined(boxes[..., :2], boxes[..., 2:] - boxes[..., :2])


def cxcywh_to_xyxy(boxes: NDArray[Any]) -> NDArray[Any]:
    """Centre, width, height -> left, top, right, bottom."""
    half = boxes[..., 2:] / 2
    return _joined(boxes[..., :2] - half, boxes[..., :2] + half)


def xyxy_to_cxcywh(boxes: NDArray[Any]) -> NDArray[Any]:
    """Left, top, right, bottom -> centre, width, height."""
    return _joined((boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2])


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of every box of ``first`` (n, 4) with every box of ``second`` (m, 4).

    Returns:
        float64 (n, m); 0 where neither box has an area.
    """
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = _product(np.maximum(sides, 0))
    union = _area(a) + _area(b) - intersection
    ratio: NDArray[np.float64] = np.zeros_like(union)
    np.divide(intersection, union, out=ratio, where=union > 0)
    return ratio


def nms(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], class_ids: NDArray[np.integer], threshold: float
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression inside each class, as Darknet's ``do_nms_sort``.

    A box goes where a box of the same class and of a higher score overlaps it with an IoU above ``threshold``,
    strictly. Equal scores keep their order.

    Args:
        boxes: (n, 4), xyxy.
        scores: (n,).
        class_ids: (n,).
        threshold: 0..1; 1 keeps everything.

    Returns:
        Indices of the boxes that stay, highest score first.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while waiting.size > 1:
        # Of many boxes a block at a time: one call for the overlaps of a block costs little more than one for a box.
        block = waiting[:BLOCK]
        overlap = iou(boxes[block], boxes[waiting])
        spared = (overlap <= threshold) | (class_ids[block][:, None] != class_ids[waiting])
        stays = np.ones(waiting.size, np.bool_)
        for rank, index in enumerate(block.tolist()):
            if stays[rank]:
                kept.append(index)
                stays &= spared[rank]
        waiting = waiting[BLOCK:][stays[BLOCK:]]
    return np.asarray(kept + waiting.tolist(), np.intp)  # One that is left has nothing above it.


def clip(boxes: NDArray[np.floating], width: int, height: int) -> NDArray[np.float64]:
    """Boxes (n, 4), cut to an image of ``width`` x ``height`` pixels; what lies outside becomes a box without area."""
    limits = (width, height, width, height)
    return np.clip(np.asarray(boxes, np.float64), 0, limits)


def _joined(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    boxes: NDArray[Any] = np.concatenate((first, second), axis=-1)
    return boxes


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return _product(np.maximum(boxes[..., 2:] - boxes[..., :2], 0))


def _product(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    # np.prod along an axis of two takes four times as long for a handful of boxes.
    product: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return product
