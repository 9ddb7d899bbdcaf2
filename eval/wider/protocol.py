"""WIDER FACE as its official toolbox evaluates it: AP over the easy, medium and hard faces of the validation set.

Detections of an image are taken in the order of their scores. Each is held against the annotation that it overlaps
most. Where that overlap is below 0.5 it is a false alarm; where the annotation does not count in the subset, the
detection does not count either; where it was found before, the detection counts without adding to the recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.wider import WiderImage
from tinier_yolo.eval.average_precision import PrecisionRecall, counts_at_scores
from tinier_yolo.eval.matching import by_score, first_to_find, is_hit

SUBSETS = ("easy", "medium", "hard")
#: Precision and recall are taken at this many thresholds, 0.999 down to 0, of scores normalised to 0..1.
THRESHOLDS = 1000

Rows = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Assignment:
    """The annotations that the detections of an image overlap most, highest score first.

    Attributes:
        scores: float64 (n,), falling.
        nearest: intp (n,), an annotation of the image.
        overlap: float64 (n,), the IoU with it.
    """

    scores: NDArray[np.float64]
    nearest: NDArray[np.intp]
    overlap: NDArray[np.float64]


def curves(
    images: Iterable[WiderImage],
    subsets: Mapping[str, Mapping[str, NDArray[np.intp]]],
    detections: Mapping[str, Rows],
) -> dict[str, PrecisionRecall]:
    """Curves of a detector, one a subset. The order of images and detections changes nothing.

    Args:
        images: the annotated images.
        subsets: by subset and image name, the indices of the annotations that count.
        detections: by image name, float64 (n, 5): x, y, width, height, score of any range. An image without an entry
            has no detections; others' images are left aside.
    """
    ordered = sorted(images, key=lambda image: image.name)
    rows = {image.name: detections[image.name] for image in ordered if len(detections.get(image.name, ()))}
    low, high = _score_range(rows)
    assignments = {
        # The toolbox passes over images without annotations: a detection there is no false alarm.
        image.name: assign(rows[image.name], image.boxes, low, high)
        for image in ordered
        if image.name in rows and len(image.boxes)
    }
    return {name: _curve(assignments, ordered, subset) for name, subset in subsets.items()}


def assign(rows: Rows, boxes: NDArray[np.float64], low: float, high: float) -> Assignment:
    """Order the detections of one image by score and find the annotation that each overlaps most.

    Args:
        rows: float64 (n, 5).
        boxes: float64 (m, 4): x, y, width, height; m > 0.
        low: the lowest score of the whole set, which becomes 0.
        high: the highest, which becomes 1.
    """
    rows = rows[by_score(rows[:, :4], rows[:, 4])]
    scores = (rows[:, 4] - low) / (high - low) if high > low else np.ones(len(rows))
    iou = pixel_iou(rows[:, :4], boxes)
    nearest = np.argmax(iou, axis=1)
    return Assignment(scores, nearest, iou[np.arange(len(rows)), nearest])


def pixel_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU (n, m) of boxes ``x y w h`` as the toolbox counts it: from x to x + w, both pixels included."""
    a, b = first[:, None], second[None]
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    common = np.prod(np.maximum(sides, 0), axis=-1)
    iou: NDArray[np.float64] = common / (np.prod(a[..., 2:] + 1, axis=-1) + np.prod(b[..., 2:] + 1, axis=-1) - common)
    return iou


def _score_range(rows: Mapping[str, Rows]) -> tuple[float, float]:
    if not rows:
        return 0.0, 0.0
    return min(float(r[:, 4].min()) for r in rows.values()), max(float(r[:, 4].max()) for r in rows.values())


def _curve(
    assignments: Mapping[str, Assignment], images: Iterable[WiderImage], subset: Mapping[str, NDArray[np.intp]]
) -> PrecisionRecall:
    scores, weights, faces = [np.empty(0)], [np.empty((0, 2), np.int64)], 0
    for image in images:
        counted = np.zeros(len(image.boxes), bool)
        counted[subset.get(image.name, np.empty(0, np.intp))] = True
        faces += int(counted.sum())
        if image.name in assignments:
            scores.append(assignments[image.name].scores)
            weights.append(_weights(assignments[image.name], counted))
    thresholds = 1 - np.arange(1, THRESHOLDS + 1) / THRESHOLDS
    counts = counts_at_scores(np.concatenate(scores), np.concatenate(weights), thresholds)
    return PrecisionRecall.of_counts(counts[:, 0], counts[:, 1], thresholds, faces)


def _weights(assignment: Assignment, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    # What each detection adds: (n, 2), faces found and detections kept.
    hit = is_hit(assignment.overlap)
    kept = ~hit | counted[assignment.nearest]
    first = np.zeros(len(hit), bool)
    first[first_to_find(assignment.nearest, hit)] = True
    return np.column_stack([first & kept, kept]).astype(np.int64)
