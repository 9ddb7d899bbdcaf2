from __future__ import annotations

import numpy as np

from tinier_yolo.eval.classify.protocol import confusion, rank_of, top_share


def test_ranks_are_places_in_a_stable_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        scores = rng.integers(0, 4, 6).astype(np.float64)  # ties
        order = sorted(range(6), key=lambda class_id: (-scores[class_id], class_id))
        assert [rank_of(scores, class_id) for class_id in range(6)] == [order.index(i) for i in range(6)]


def test_top_shares() -> None:
    ranks = np.array([0, 0, 1, 4, 5])
    assert (top_share(ranks, 1), top_share(ranks, 5)) == (0.4, 0.8)
    assert top_share(ranks[:0], 1) == 0


def test_confusion_has_a_row_for_each_true_class() -> None:
    counts = confusion(np.array([0, 0, 2]), np.array([1, 1, 2]), 3)
    assert counts.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]
