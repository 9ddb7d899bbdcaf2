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


#: A map or an image: [channel][row][column].
Map = list[list[list[int]]]


def convolve(levels: Map, signs: Sequence[Sequence[Sequence[Sequence[int]]]], stride: int, padding: int) -> Map:
    """Sums of sign * level; whatever lies outside the map is level 0."""
    height, width, size = len(levels[0]), len(levels[0][0]), len(signs[0][0])
    rows, columns = ((side + 2 * padding - size) // stride + 1 for side in (height, width))
    sums = [[[0] * columns for _ in range(rows)] for _ in signs]
    for f, weights in enumerate(signs):
        for y in range(rows):
            for x in range(columns):
                total = 0
                for i in range(size):
                    for j in range(size):
                        row, column = y * stride + i - padding, x * stride + j - padding
                        if 0 <= row < height and 0 <= column < width:
                            for c, plane in enumerate(levels):
                                total += weights[c][i][j] * plane[row][column]
                sums[f][y][x] = total
    return sums


def max_pool(sums: Map, size: int, stride: int, padding: int) -> Map:
    """Darknet's: the first window begins padding // 2 before the map; only cells inside it count."""
    height, width = len(sums[0]), len(sums[0][0])
    rows, columns = ((side + padding - size) // stride + 1 for side in (height, width))
    pooled = []
    for plane in sums:
        pooled.append([[0] * columns for _ in range(rows)])
        for y in range(rows):
            for x in range(columns):
                top, left = y * stride - padding // 2, x * stride - padding // 2
                pooled[-1][y][x] = max(
                    plane[row][column]
                    for row in range(max(top, 0), min(top + size, height))
                    for column in range(max(left, 0), min(left + size, width))
                )
    return pooled


def quantize(sums: Map, thresholds: Sequence[Sequence[int]], flips: Sequence[bool]) -> Map:
    """The level: how many thresholds the sum exceeds, or how many it does not where the flip is set."""
    return [
        [[sum((value > threshold) != flip for threshold in own) for value in row] for row in plane]
        for plane, own, flip in zip(sums, thresholds, flips, strict=True)
    ]


def affine(sums: Map, multipliers: Sequence[int], biases: Sequence[int]) -> Map:
    return [
        [[multiplier * value + bias for value in row] for row in plane]
        for plane, multiplier, bias in zip(sums, multipliers, biases, strict=True)
    ]


def bit_planes(levels: Map, planes: int) -> list[Map]:
    return [[[[value >> p & 1 for value in row] for row in plane] for plane in levels] for p in range(planes)]
