"""FDDB's overlap: an elliptic annotation and a detection as sets of pixels, both cut to the image.

The official program draws both into masks of the image's size and counts. The same counts come from one small mask an
ellipse: its window is filled once, and a summed-area table of it tells how much of the ellipse lies in any rectangle.
Of a detection that is an ellipse too, the part that both windows share is compared.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]


def overlaps(regions: NDArray[np.float64], ellipses: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    """IoU of every detection with every annotation of one image, ratios of pixel counts.

    Args:
        regions: float64 (n, 4): x, y, width, height; or (n, 5): ellipses.
        ellipses: float64 (m, 5): major radius, minor radius, angle, centre x, centre y.
        size: the image's (width, height).

    Returns:
        float64 (n, m); 0 where both lie outside the image.
    """
    if regions.shape[1] == ellipses.shape[1]:
        return _ellipse_overlaps(regions, ellipses, size)
    rectangles = box_pixels(regions, size)
    areas = np.prod(rectangles[:, 2:] - rectangles[:, :2], axis=1)
    iou = np.zeros((len(regions), len(ellipses)))
    for column, ellipse in enumerate(ellipses):
        mask, corner = ellipse_mask(ellipse, size)
        common = _pixels_inside(mask, rectangles - (corner * 2))
        union = areas + np.count_nonzero(mask) - common
        np.divide(common, union, out=iou[:, column], where=union > 0)
    return iou


def box_pixels(boxes: NDArray[np.float64], size: Size) -> NDArray[np.int64]:
    """The pixels of detections: int64 (n, 4) left, top, right, bottom, the last two exclusive, cut to the image.

    The official program fills from (round x, round y) to (round(x + w), round(y + h)), both inclusive.
    """
    first = np.rint(boxes[:, :2])
    last = np.rint(boxes[:, :2] + boxes[:, 2:]) + 1
    # Cut before the conversion: a number of any size may stand in a file.
    return np.hstack([np.clip(first, 0, size), np.clip(last, 0, size)]).astype(np.int64)


def ellipse_mask(ellipse: NDArray[np.float64], size: Size) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """An annotation's pixels, in a window that holds all of those inside the image.

    As the official program: ``cv2.ellipse`` with the centre rounded, the radii truncated and an angle of
    180 - (pi - angle) 180 / pi degrees.

    Returns:
        uint8 (height, width) of 0 and 1, and (x, y) of the window's corner in the image. The window is empty where the
        ellipse lies outside.
    """
    major, minor, angle, center_x, center_y = (float(value) for value in ellipse)
    center = np.rint((center_x, center_y))
    # Two pixels of slack: the window's border cuts nothing but what the image's border cuts, so that OpenCV draws
    # the same pixels as on a canvas of the whole image.
    reach = math.ceil(max(major, minor)) + 2
    left, top = np.clip(center - reach, 0, size).astype(int).tolist()
    right, bottom = np.clip(center + reach + 1, 0, size).astype(int).tolist()
    mask = np.zeros((bottom - top, right - left), np.uint8)
    if mask.size:
        degrees = 180 - (math.pi - angle) * 180 / math.pi
        shifted = (int(center[0]) - left, int(center[1]) - top)
        cv2.ellipse(mask, shifted, (int(major), int(minor)), degrees, 0, 360, 1, cv2.FILLED)
    return mask, (left, top)


def ellipse_boxes(ellipses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The boxes around annotations (m, 5): float64 (m, 4), xyxy, in pixels."""
    major, minor, angle, x, y = ellipses.T
    # An ellipse's points are c + major cos t (cos a, sin a) + minor sin t (-sin a, cos a); p cos t + q sin t reaches
    # hypot(p, q).
    half_width = np.hypot(major * np.cos(angle), minor * np.sin(angle))
    half_height = np.hypot(major * np.sin(angle), minor * np.cos(angle))
    return np.column_stack([x - half_width, y - half_height, x + half_width, y + half_height])


def _ellipse_overlaps(found: NDArray[np.float64], ellipses: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    iou = np.zeros((len(found), len(ellipses)))
    faces = [ellipse_mask(ellipse, size) for ellipse in ellipses]
    for row, ellipse in enumerate(found):
        mask, corner = ellipse_mask(ellipse, size)
        for column, (face, face_corner) in enumerate(faces):
            common = _common(mask, corner, face, face_corner)
            union = np.count_nonzero(mask) + np.count_nonzero(face) - common
            iou[row, column] = common / union if union else 0.0
    return iou


def _common(a: NDArray[np.uint8], a_corner: tuple[int, int], b: NDArray[np.uint8], b_corner: tuple[int, int]) -> int:
    # How many pixels two masks share; corners are (x, y).
    left, top = np.maximum(a_corner, b_corner).tolist()
    right = min(a_corner[0] + a.shape[1], b_corner[0] + b.shape[1])
    bottom = min(a_corner[1] + a.shape[0], b_corner[1] + b.shape[0])
    if right <= left or bottom <= top:
        return 0
    parts = [mask[top - y : bottom - y, left - x : right - x] for mask, (x, y) in ((a, a_corner), (b, b_corner))]
    return int(np.count_nonzero(parts[0] & parts[1]))


def _pixels_inside(mask: NDArray[np.uint8], rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    # How many of the mask's pixels each rectangle (n, 4), in the mask's coordinates, holds.
    height, width = mask.shape
    table = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1, out=table[1:, 1:])
    left, top, right, bottom = np.clip(rectangles, 0, (width, height) * 2).T
    inside: NDArray[np.int64] = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return inside
