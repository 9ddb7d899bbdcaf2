"""FDDB's evaluation word for word: masks of the whole image, every threshold of the set, every assignment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float]


def ellipse_mask(ellipse: Numbers, size: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros((size[1], size[0]), np.uint8)
    major, minor, angle, x, y = ellipse
    degrees = 180 - (math.pi - angle) * 180 / math.pi
    cv2.ellipse(mask, (round(x), round(y)), (int(major), int(minor)), degrees, 0, 360, 1, cv2.FILLED)
    return mask == 1


def box_mask(box: Numbers, size: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros((size[1], size[0]), bool)
    x, y, w, h = box[:4]
    for row in range(max(0, round(y)), min(size[1] - 1, round(y + h)) + 1):
        for column in range(max(0, round(x)), min(size[0] - 1, round(x + w)) + 1):
            mask[row, column] = True
    return mask


def iou(region: Numbers, ellipse: Numbers, size: tuple[int, int]) -> float:
    """Of a box or another ellipse with an ellipse."""
    a = ellipse_mask(region, size) if len(region) == 5 else box_mask(region, size)
    b = ellipse_mask(ellipse, size)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def best_assignments(table: Sequence[Numbers], faces: int) -> tuple[float, set[int]]:
    """The largest sum of IoU over all assignments, and how many true positives the assignments with that sum have."""
    results = []
    rows = range(len(table))
    for chosen in assignments(len(table), faces):
        pairs = [table[row][chosen[row]] for row in rows if chosen[row] is not None]
        results.append((sum(pairs), sum(value > 0.5 for value in pairs)))
    best = max(total for total, _ in results)
    return best, {count for total, count in results if math.isclose(total, best, abs_tol=1e-12)}


def assignments(detections: int, faces: int) -> Iterator[tuple[int | None, ...]]:
    """Every way to give each detection a face of its own or none."""
    slots = [*range(faces), *[None] * detections]
    return iter(set(itertools.permutations(slots, detections)))


def curve(
    images: Mapping[str, tuple[Sequence[Numbers], Sequence[Numbers], tuple[int, int]]],
) -> list[tuple[float, int, set[int], float]]:
    """For each score of the set, the highest first: score, kept, possible true positives, similarity.

    Args:
        images: detections (x y w h score), ellipses and size by name.
    """
    points = []
    for score in sorted({row[4] for rows, _, _ in images.values() for row in rows}, reverse=True):
        kept, similarity, possible = 0, 0.0, {0}
        for rows, ellipses, size in images.values():
            table = [[iou(row[:4], ellipse, size) for ellipse in ellipses] for row in rows if row[4] >= score]
            total, counts = best_assignments(table, len(ellipses))
            kept += len(table)
            similarity += total
            possible = {a + b for a in possible for b in counts}
        points.append((score, kept, possible, similarity))
    return points
