"""WIDER FACE's evaluation as its toolbox goes about it, in plain loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Numbers = Sequence[float]


def iou(a: Numbers, b: Numbers) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) + 1
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] + 1) * (a[3] + 1) + (b[2] + 1) * (b[3] + 1) - common)


def average_precision(
    images: Mapping[str, Sequence[Numbers]],
    counted: Mapping[str, Sequence[int]],
    detections: Mapping[str, Sequence[Numbers]],
    thresholds: int = 1000,
) -> float:
    scores = [row[4] for rows in detections.values() for row in rows]
    if not scores:
        return 0.0
    low, high = min(scores), max(scores)
    faces = sum(len(set(counted.get(name, ()))) for name in images)
    proposals, recalled = [0] * thresholds, [0] * thresholds
    for name, boxes in images.items():
        rows = sorted(detections.get(name, ()), key=lambda row: (-row[4], *row[:4]))
        if not rows or not boxes:
            continue
        seen: set[int] = set()
        for row in rows:
            score = (row[4] - low) / (high - low) if high > low else 1.0
            overlaps = [iou(row, box) for box in boxes]
            best = overlaps.index(max(overlaps))
            is_hit = overlaps[best] >= 0.5
            counts = not is_hit or best in counted.get(name, ())
            adds = is_hit and counts and best not in seen
            if is_hit and counts:
                seen.add(best)
            for t in range(thresholds):
                if score >= 1 - (t + 1) / thresholds:
                    proposals[t] += counts
                    recalled[t] += adds
    recall = [0.0, *(r / max(faces, 1) for r in recalled), 1.0]
    precision = [0.0, *(r / p if p else 0.0 for r, p in zip(recalled, proposals, strict=True)), 0.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))
