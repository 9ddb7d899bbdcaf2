"""Detections drawn into a picture, legible from a thumbnail to a panorama."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.detection.detections import Detections

#: RGB. One colour a class, bright; a dark outline sets it off from bright surroundings.
COLORS = ((64, 255, 96), (255, 208, 48), (80, 200, 255), (255, 112, 208), (255, 144, 80), (176, 144, 255))
OUTLINE = (16, 16, 16)
FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Below this height in pixels a Hershey letter is a blot.
LEAST_TEXT_HEIGHT = 8

#: left, top, right, bottom in whole pixels, right and bottom exclusive
Rectangle = tuple[int, int, int, int]


def draw_detections(
    rgb: NDArray[np.uint8], detections: Detections, class_names: tuple[str, ...] = ("face",)
) -> NDArray[np.uint8]:
    """A copy of a picture with a frame around each detection and, where there is room, its score.

    Lines and letters grow with the picture; letters shrink with their box down to what can still be read. Frames lie
    around their boxes, so that a face of ten pixels can still be seen. A score stands above its frame, else below it,
    else inside; strong detections come first, and one that would hide another face or another score is left out. The
    class is named where there are several.

    Args:
        rgb: uint8 (height, width, 3).
        detections: boxes in pixels of the picture.
        class_names: a name for each class id.
    """
    picture = np.ascontiguousarray(rgb).copy()
    line = max(1, round(math.sqrt(picture.shape[0] * picture.shape[1]) / 320))
    ordered = detections.sorted()
    left, top, right, bottom = np.rint(ordered.boxes).astype(int).T.tolist() if len(ordered) else ([], [], [], [])
    boxes: list[Rectangle] = list(zip(left, top, right, bottom, strict=True))
    for box, class_id in zip(reversed(boxes), reversed(ordered.class_ids), strict=True):
        _draw_frame(picture, box, COLORS[class_id % len(COLORS)], line)
    taken = list(boxes)
    for box, (_, score, class_id) in zip(boxes, ordered, strict=True):
        text = f"{score:.2f}" if len(class_names) == 1 else f"{class_names[class_id]} {score:.2f}"
        others = [other for other in taken if other is not box]
        place = _draw_label(picture, text, box, others, COLORS[class_id % len(COLORS)], line)
        taken += [place] if place else []
    return picture


def _draw_frame(picture: NDArray[np.uint8], box: Rectangle, color: tuple[int, int, int], line: int) -> None:
    # Rings of one pixel, from the box outwards; at the border of the picture they fall on its last pixel.
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    for ring in range(line + _outline(line), 0, -1):
        first = max(0, left - ring), max(0, top - ring)
        last = min(width - 1, right - 1 + ring), min(height - 1, bottom - 1 + ring)
        cv2.rectangle(picture, first, last, color if ring <= line else OUTLINE, 1)


def _outline(line: int) -> int:
    return max(1, line // 3)


def _draw_label(
    picture: NDArray[np.uint8],
    text: str,
    box: Rectangle,
    others: list[Rectangle],
    color: tuple[int, int, int],
    line: int,
) -> Rectangle | None:
    """Draw a filled label at the first free place and return the place, or None where there is no room."""
    left, top, right, bottom = box
    letters = min(9 * line + 4, max(LEAST_TEXT_HEIGHT, (right - left) // 4))
    weight = max(1, round(letters / 9))
    scale = cv2.getFontScaleFromHeight(FONT, letters, weight)
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, scale, weight)
    margin, edge = max(2, letters // 4), line + _outline(line)
    width, height = text_width + 2 * margin, text_height + 2 * margin
    x = max(0, min(left - line, picture.shape[1] - width))
    for y in (top - edge - height, bottom + edge, top):
        place = (x, y, x + width, y + height)
        if y < 0 or place[3] > picture.shape[0] or any(_overlap(place, other) for other in others):
            continue
        cv2.rectangle(picture, place[:2], (place[2] - 1, place[3] - 1), color, cv2.FILLED)
        origin = (x + margin, y + margin + text_height)
        cv2.putText(picture, text, origin, FONT, scale, OUTLINE, weight, cv2.LINE_AA)
        return place
    return None


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
