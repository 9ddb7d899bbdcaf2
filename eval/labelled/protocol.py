"""Average precision and ROC over a set with plain boxes, as a whole and by the height of the faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.eval.average_precision import PrecisionRecall, counts_at_scores
from tinier_yolo.eval.heights import ALL_HEIGHTS, Heights, in_range
from tinier_yolo.eval.matching import IGNORED, Matches
from tinier_yolo.eval.roc import Roc, merge_steps

#: Ranges of face height at network size.
HEIGHTS: tuple[Heights, ...] = ((0, 16), (16, 32), (32, 64), (64, math.inf))


@dataclass(frozen=True, eq=False)
class ImageResult:
    """What a detector found on one image of a set.

    Attributes:
        name: the image, by which results are ordered.
        matches: its detections.
        face_heights: float64 (m,), heights of its faces at network size, in pixels.
        scale: by which a detection's height becomes one at network size.
    """

    name: str
    matches: Matches
    face_heights: NDArray[np.float64]
    scale: float


def roc_curve(results: Sequence[ImageResult], faces: int, images: int) -> Roc:
    """The rate of faces found against the number of false positives; ignored detections are neither.

    Args:
        results: of the images that could be read.
        faces: all faces of the set.
        images: all images of the set.
    """
    matches = [result.matches for result in _by_name(results)]
    steps = [np.column_stack([m.face >= 0, (m.face < 0) & (m.face != IGNORED), m.overlap]) for m in matches]
    return merge_steps([m.scores for m in matches], [step.astype(np.float64) for step in steps], faces, images)


def precision_recall(
    results: Sequence[ImageResult], heights: Heights = ALL_HEIGHTS, faces: int | None = None
) -> PrecisionRecall:
    """Precision over recall for the faces of a range of heights.

    A detection that found a face of another height does not count, and neither does a false alarm of another height:
    the convention of COCO's areas.

    Args:
        results: of the images that could be read.
        heights: [low, high) in pixels at network size.
        faces: the number that recall is a share of; the faces in range if None.
    """
    scores, weights, total = [np.empty(0)], [np.empty((0, 2), np.int64)], 0
    for result in _by_name(results):
        matches = result.matches
        height = (matches.boxes[:, 3] - matches.boxes[:, 1]) * result.scale
        found = matches.face >= 0
        height[found] = result.face_heights[matches.face[found]]
        kept = in_range(height, heights) & (matches.face != IGNORED)
        scores.append(matches.scores)
        weights.append(np.column_stack([kept & found, kept]).astype(np.int64))
        total += int(in_range(result.face_heights, heights).sum())
    all_scores = np.concatenate(scores)
    thresholds = np.unique(all_scores)[::-1]
    counts = counts_at_scores(all_scores, np.concatenate(weights), thresholds)
    return PrecisionRecall.of_counts(counts[:, 0], counts[:, 1], thresholds, total if faces is None else faces)


def rate_above(results: Sequence[ImageResult], heights: Heights, threshold: float | None) -> float | None:
    """Share of the faces in a range of heights that were found with at least that score; None where there is no face.

    A threshold of None finds nothing.
    """
    total = found = 0
    for result in results:
        chosen = in_range(result.face_heights, heights)
        total += int(chosen.sum())
        if threshold is not None:
            kept = result.matches.above(threshold).face
            found += int(chosen[kept[kept >= 0]].sum())
    return found / total if total else None


def _by_name(results: Sequence[ImageResult]) -> list[ImageResult]:
    return sorted(results, key=lambda result: result.name)
