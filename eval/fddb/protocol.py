"""FDDB as the official program evaluates it, on ellipses and rectangles, all folds together.

For each image and each distinct score, the detections of at least that score are matched to the annotations by the
assignment that makes the sum of IoU largest. A pair with an IoU above 0.5 is a true positive; every other detection
that was kept is a false one. The images' curves are then merged by score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tinier_yolo.datasets.fddb import FddbImage
from tinier_yolo.errors import DetectionsError
from tinier_yolo.eval.fddb.overlap import Size, overlaps
from tinier_yolo.eval.matching import FALSE_ALARM, by_score, is_hit
from tinier_yolo.eval.roc import Roc, last_of_each, merge_steps


def curve(images: Iterable[FddbImage], detections: Mapping[str, NDArray[np.float64]], sizes: Mapping[str, Size]) -> Roc:
    """The discrete and continuous curves of a detector over a set of images.

    Neither the order of the images nor that of an image's detections or ellipses changes a bit of the result.

    Args:
        images: the set: every image counts, with detections or without.
        detections: by image name, float64 (n, 5): x, y, width, height, score; or (n, 6): an ellipse's five numbers,
            score. Others' images are left aside.
        sizes: by image name (width, height); needed only of images with detections and annotations.

    Raises:
        DetectionsError: the size of an image is not known.
    """
    ordered = sorted(images, key=lambda image: image.name)
    steps = []
    for image in ordered:
        rows = detections.get(image.name, np.empty((0, 5)))
        if len(rows):
            if image.name not in sizes:
                raise DetectionsError("the image's size is not known", place=image.name)
            steps.append(image_curve(rows, image.ellipses, sizes[image.name]))
    faces = sum(len(image.ellipses) for image in ordered)
    return merge_steps([step[0] for step in steps], [step[1] for step in steps], faces, len(ordered))


def image_curve(
    rows: NDArray[np.float64], ellipses: NDArray[np.float64], size: Size
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One image's curve.

    Args:
        rows: float64 (n, 5) or (n, 6), as of :func:`curve`; n > 0.
        ellipses: float64 (m, 5).
        size: (width, height).

    Returns:
        Distinct scores (k,), falling, and float64 (k, 3): the change of true positives, false positives and matched
        IoU where the threshold falls to each.
    """
    rows, ellipses = in_order(rows, ellipses)
    scores, iou = rows[:, -1], overlaps(rows[:, :-1], ellipses, size)
    last = last_of_each(scores)
    matched = _matched(iou, last + 1)
    totals = np.column_stack([matched[:, 0], last + 1 - matched[:, 0], matched[:, 1]])
    return scores[last], np.diff(totals, axis=0, prepend=0.0)


def in_order(
    rows: NDArray[np.float64], ellipses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The detections (n, 5 or 6) of an image by score, highest first, and its annotations (m, 5) in a fixed order.

    So assignments of equal sums are settled the same way, however a file is ordered.
    """
    return rows[by_score(rows[:, :-1], rows[:, -1])], ellipses[np.lexsort(ellipses.T[::-1])]


def find_faces(iou: NDArray[np.float64]) -> NDArray[np.intp]:
    """The annotation that each detection finds, intp (n,), FALSE_ALARM where none.

    Args:
        iou: float64 (n, m), of detections and annotations in the order of :func:`in_order`.
    """
    found = np.full(len(iou), FALSE_ALARM, np.intp)
    touching = np.flatnonzero(np.any(iou > 0, axis=1))
    detections, faces = linear_sum_assignment(iou[touching], maximize=True)
    hit = is_hit(iou[touching][detections, faces], strict=True)
    found[touching[detections[hit]]] = faces[hit]
    return found


def _matched(iou: NDArray[np.float64], kept: NDArray[np.intp]) -> NDArray[np.float64]:
    # True positives and matched IoU, (k, 2), for the first kept[0], kept[1], ... detections. Detections that touch no
    # annotation change neither and are left out of the matching, which is most of them at low scores.
    touching = np.any(iou > 0, axis=1)
    counts = np.cumsum(touching)[kept - 1]
    iou = iou[touching]
    result = np.zeros((len(kept), 2))
    for index, count in enumerate(counts):
        if index and count == counts[index - 1]:
            result[index] = result[index - 1]
        elif count:
            pairs = iou[:count][linear_sum_assignment(iou[:count], maximize=True)]
            result[index] = np.count_nonzero(is_hit(pairs, strict=True)), pairs.sum()
    return result
