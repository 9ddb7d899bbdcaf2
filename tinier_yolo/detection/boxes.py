"""Boxes, xyxy: overlap, suppression, clipping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of every box of ``first`` (n, 4) with every box of ``second`` (m, 4).

    Returns:
        float64 (n, m); 0 where neither box has an area.
    """
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(np.maximum(sides, 0), axis=-1)
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
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        overlap = iou(boxes[best][None], boxes[waiting])[0]
        waiting = waiting[(overlap <= threshold) | (class_ids[waiting] != class_ids[best])]
    return np.asarray(kept, np.intp)


def clip(boxes: NDArray[np.floating], width: int, height: int) -> NDArray[np.float64]:
    """Boxes (n, 4), cut to an image of ``width`` x ``height`` pixels; what lies outside becomes a box without area."""
    limits = (width, height, width, height)
    return np.clip(np.asarray(boxes, np.float64), 0, limits)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
    return area
