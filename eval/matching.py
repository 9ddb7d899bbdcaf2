"""Matching detections to faces: what all protocols share, and the matching of PASCAL VOC.

PASCAL VOC's serves labelled sets and the pictures of what was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.detection.boxes import iou

#: The IoU at which a detection finds a face, in all protocols; :func:`is_hit` says what is true at exactly 0.5.
MIN_IOU = 0.5
#: What :attr:`Matches.face` says of a detection that found none.
FALSE_ALARM, IGNORED = -1, -2


@dataclass(frozen=True, eq=False)
class Matches:
    """An image's detections, highest score first, and what each of them found.

    Attributes:
        boxes: float64 (n, 4), xyxy.
        scores: float64 (n,), falling.
        face: intp (n,): index of the face that the detection is the first to find; FALSE_ALARM, which a second
            detection of a face is too; IGNORED where it lies on a box that counts neither for nor against.
        overlap: float64 (n,): IoU with the face; 0 where there is none.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    face: NDArray[np.intp]
    overlap: NDArray[np.float64]

    def above(self, thresh: float) -> Matches:
        """Those with a score of at least ``thresh``."""
        keep = self.scores >= thresh
        return Matches(self.boxes[keep], self.scores[keep], self.face[keep], self.overlap[keep])


def is_hit(overlap: NDArray[np.float64], *, strict: bool = False) -> NDArray[np.bool_]:
    """Whether an IoU finds a face: from 0.5 on for PASCAL VOC and WIDER FACE, above 0.5 (``strict``) for FDDB."""
    hit: NDArray[np.bool_] = overlap > MIN_IOU if strict else overlap >= MIN_IOU
    return hit


def by_score(boxes: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """The order of an image's detections, highest score first, as indices (n,).

    Equal scores are ordered by the numbers of their boxes (n, any), so that the order of a file does not matter.
    """
    return np.lexsort((*boxes.T[::-1], -scores))


def first_to_find(nearest: NDArray[np.intp], hit: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Which detections, in the order of their scores, are the first to find a face.

    Args:
        nearest: (n,), the face that a detection overlaps most.
        hit: (n,), whether it finds that face.

    Returns:
        Indices of detections, one a face that is found, in the order of the faces.
    """
    hits = np.flatnonzero(hit)
    return hits[np.unique(nearest[hits], return_index=True)[1]]


def match(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    faces: NDArray[np.floating],
    ignored: NDArray[np.floating],
) -> Matches:
    """Match the detections of one image, in the order of their scores.

    Each is held against the face that it overlaps most. Only where that is less than :data:`MIN_IOU` may an ignored
    box excuse it.

    Args:
        boxes: (n, 4), xyxy; in any order.
        scores: (n,).
        faces: (m, 4), xyxy, the boxes to be found.
        ignored: (k, 4), xyxy, boxes that count neither for nor against.
    """
    order = by_score(boxes, scores)
    boxes, scores = np.asarray(boxes, np.float64)[order], np.asarray(scores, np.float64)[order]
    found = np.full(len(boxes), FALSE_ALARM, np.intp)
    found[_touches(boxes, ignored)] = IGNORED
    overlap = np.zeros(len(boxes))
    if len(faces) and len(boxes):
        table = iou(boxes, faces)
        nearest = np.argmax(table, axis=1)
        best = table[np.arange(len(boxes)), nearest]
        hit = is_hit(best)
        found[hit] = FALSE_ALARM
        first = first_to_find(nearest, hit)
        found[first], overlap[first] = nearest[first], best[first]
    return Matches(boxes, scores, found, overlap)


def _touches(boxes: NDArray[np.float64], ignored: NDArray[np.floating]) -> NDArray[np.bool_]:
    if not (len(ignored) and len(boxes)):
        return np.zeros(len(boxes), bool)
    return is_hit(np.max(iou(boxes, ignored), axis=1))
