"""By which rules classifications are counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rank_of(scores: NDArray[np.float64], class_id: int) -> int:
    """How many classes stand before a class when they are sorted by falling score, of equal ones the first class first.

    An image counts for top-k where the rank of its class is below k.
    """
    own = scores[class_id]
    return int((scores > own).sum() + (scores[:class_id] == own).sum())


def top_share(ranks: NDArray[np.int64], k: int) -> float:
    """Top-k accuracy: the share of ranks below k; 0 of no images."""
    return float((ranks < k).mean()) if len(ranks) else 0.0


def confusion(class_ids: NDArray[np.int64], found: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How many images of each class (rows) were taken for each class (columns), (classes, classes)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (class_ids, found), 1)
    return counts
