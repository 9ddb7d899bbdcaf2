"""Anchors: the shapes that YOLOv2's boxes start from, clustered from a data set (YOLO9000, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import UsageError


@dataclass(frozen=True, eq=False)
class AnchorClusters:
    """The outcome of the clustering.

    Attributes:
        anchors: float64 (num, 2), width and height in the unit of the boxes, smallest area first.
        mean_iou: the mean, over the boxes, of the IoU with the best anchor (both centred on one point).
    """

    anchors: NDArray[np.float64]
    mean_iou: float


def shape_iou(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of boxes (n, 2) and anchors (k, 2) that share their centre: (n, k)."""
    inside = np.minimum(sizes[:, None], anchors[None]).prod(-1)
    union = sizes.prod(-1)[:, None] + anchors.prod(-1)[None] - inside
    return np.asarray(inside / union)


def cluster_anchors(sizes: NDArray[np.floating], num: int, seed: int = 0, restarts: int = 10) -> AnchorClusters:
    """k-means with 1 - IoU as the distance; the best of several starts, the same for the same seed.

    Args:
        sizes: (n, 2), width and height of each box, all positive.
        num: how many anchors.
        seed: of the random starts.
        restarts: how many starts.

    Raises:
        UsageError: fewer distinct boxes than anchors.
    """
    boxes = np.asarray(sizes, np.float64)
    distinct = np.unique(boxes, axis=0)
    if num < 1 or len(distinct) < num:
        raise UsageError(
            "too few boxes for that many anchors", expected=f"at least {num} distinct", found=len(distinct)
        )
    rng = np.random.default_rng(seed)
    starts = (distinct[rng.choice(len(distinct), num, replace=False)] for _ in range(restarts))
    return max((_refine(boxes, start) for start in starts), key=lambda clusters: clusters.mean_iou)


def _refine(boxes: NDArray[np.float64], anchors: NDArray[np.float64]) -> AnchorClusters:
    owner = np.full(len(boxes), -1)
    for _ in range(300):
        nearest = shape_iou(boxes, anchors).argmax(1)
        if (nearest == owner).all():
            break
        owner = nearest
        # The median of a cluster loses less IoU than its mean where sizes have a long tail.
        anchors = np.array(
            [np.median(boxes[owner == k], 0) if (owner == k).any() else anchors[k] for k in range(len(anchors))]
        )
    anchors = anchors[np.argsort(anchors.prod(1), kind="stable")]
    return AnchorClusters(anchors, float(shape_iou(boxes, anchors).max(1).mean()))
