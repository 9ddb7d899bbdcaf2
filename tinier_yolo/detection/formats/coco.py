"""COCO: one JSON document of images, annotations and categories, as FiftyOne, CVAT and Label Studio read it.

Boxes are ``[x, y, width, height]`` in pixels. Ids are counted from 1. An annotation has its ``score`` too, which
COCO's results have and its ground truth has not; tools that do not know it leave it aside.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tinier_yolo.detection.boxes import xyxy_to_xywh
from tinier_yolo.detection.formats.result import Result, Target, shortest


class CocoWriter:
    """Writes annotations as they come, and the images at the end."""

    def __init__(self, target: Target) -> None:
        self._stream, self._class_names = target.stream, target.class_names
        self._images: list[str] = []
        self._count = 0
        self._stream.write('{"annotations": [')

    def write(self, result: Result) -> None:
        """Write the annotations of one picture; frames of a video are named as images of their own."""
        # A surrogate, of a name that was no UTF-8, is written as an escape.
        name = result.source if result.frame is None else f"{result.name}.png"
        image = {"id": len(self._images) + 1, "file_name": name, "width": result.width, "height": result.height}
        self._images.append(json.dumps(image))
        found = result.detections
        boxes = xyxy_to_xywh(found.boxes.astype(np.float64))
        for box, score, class_id in zip(boxes, found.scores, found.class_ids, strict=True):
            self._count += 1
            separator = "\n" if self._count == 1 else ",\n"
            self._stream.write(separator + json.dumps(self._annotation(box, score, int(class_id))))

    def _annotation(self, box: Any, score: np.float32, class_id: int) -> dict[str, Any]:
        # Three decimals: what is left of a float32 after the left side was taken from the right one.
        x, y, width, height = (round(float(side), 3) for side in box)
        return {
            "id": self._count,
            "image_id": len(self._images),
            "category_id": class_id + 1,
            "bbox": [x, y, width, height],
            "area": round(width * height, 3),
            "iscrowd": 0,
            "segmentation": [],
            "score": shortest(score),
        }

    def close(self) -> None:
        """Write images and categories."""
        categories = [{"id": number, "name": name} for number, name in enumerate(self._class_names, start=1)]
        images = "".join(f"{',' * (number > 0)}\n{image}" for number, image in enumerate(self._images))
        self._stream.write(f'],\n"images": [{images}],\n"categories": {json.dumps(categories)}}}\n')
