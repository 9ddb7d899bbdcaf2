"""Precision over recall, and the area under it as PASCAL VOC has counted it since 2010."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A curve of precision over recall.

    Attributes:
        recall: float64 (k,), rising.
        precision: float64 (k,).
        scores: float64 (k,), falling: the threshold of each point.
        faces: the number that recall is a share of.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]
    faces: int

    @classmethod
    def of_counts(
        cls, found: NDArray[np.int64], kept: NDArray[np.int64], scores: NDArray[np.float64], faces: int
    ) -> PrecisionRecall:
        """A curve from counts at each threshold, (k,): faces found and detections kept.

        Where nothing is kept, 0 of 0, the precision is 0; it does not count, since the recall there is 0 as well.
        """
        precision = np.divide(found, kept, out=np.zeros(len(kept)), where=kept > 0)
        return cls(found / max(faces, 1), precision, scores, faces)

    @property
    def average_precision(self) -> float:
        """Area under the curve, each precision replaced by the highest one at that recall or beyond; 0..1."""
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        envelope = np.maximum.accumulate(np.concatenate([[0.0], self.precision, [0.0]])[::-1])[::-1]
        return float(np.sum(np.diff(recall) * envelope[1:]))


def counts_at_scores(
    scores: NDArray[np.float64], weights: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Sums of ``weights`` (n, c) over the detections with a score of at least each threshold: int64 (k, c)."""
    order = np.argsort(-scores, kind="stable")
    totals = np.vstack([np.zeros((1, weights.shape[1]), np.int64), np.cumsum(weights[order], axis=0)])
    kept = np.searchsorted(-scores[order], -thresholds, side="right")
    counts: NDArray[np.int64] = totals[kept]
    return counts
