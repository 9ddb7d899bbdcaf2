"""The plain-Python oracles: loops over scalars, no NumPy arithmetic, nothing shared with the code they judge."""

from __future__ import annotations

import math
from collections.abc import Sequence


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return intersection / union if union > 0 else 0.0


def nms(
    boxes: Sequence[Sequence[float]], scores: Sequence[float], class_ids: Sequence[int], threshold: float
) -> list[int]:
    """Darknet's do_nms_sort: take the best, strike out what overlaps it, and so on."""
    struck = [False] * len(scores)
    kept = []
    for i in sorted(range(len(scores)), key=lambda index: -scores[index]):
        if struck[i]:
            continue
        kept.append(i)
        for j in range(len(scores)):
            if class_ids[i] == class_ids[j] and iou(boxes[i], boxes[j]) > threshold:
                struck[j] = True
    return kept


def region_decode(
    values: Sequence[Sequence[Sequence[float]]],
    anchors: Sequence[tuple[float, float]],
    classes: int,
    softmax: bool,
    stride: int,
    thresh: float,
) -> list[tuple[float, float, float, float, float, int]]:
    """Darknet's get_region_detections, cell by cell: (x1, y1, x2, y2, score, class) in pixels of the input."""
    found = []
    for a, (anchor_width, anchor_height) in enumerate(anchors):
        for row in range(len(values[0])):
            for column in range(len(values[0][0])):
                t = [float(values[a * (5 + classes) + c][row][column]) for c in range(5 + classes)]
                if softmax:
                    powers = [math.exp(x - max(t[5:])) for x in t[5:]]
                    probabilities = [power / sum(powers) for power in powers]
                else:
                    probabilities = [logistic(x) for x in t[5:]]
                probability = max(probabilities)
                score = logistic(t[4]) * probability
                if score < thresh:
                    continue
                x, y = (column + logistic(t[0])) * stride, (row + logistic(t[1])) * stride
                width, height = (p * math.exp(s) * stride for p, s in ((anchor_width, t[2]), (anchor_height, t[3])))
                corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                found.append((*corners, score, probabilities.index(probability)))
    return found


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
