"""JSON Lines: an object for each picture, a line each."""

from __future__ import annotations

import json
from typing import Any

from tinier_yolo.detection.formats.result import Result, Target, shortest


class JsonLinesWriter:
    """Writes each result at once, so that a reader at the other end of a pipe can follow."""

    def __init__(self, target: Target) -> None:
        self._stream, self._class_names = target.stream, target.class_names

    def write(self, result: Result) -> None:
        """Write one line."""
        self._stream.write(json_line(result, self._class_names) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing stands at the end."""


def json_line(result: Result, class_names: tuple[str, ...]) -> str:
    """The text of :func:`json_record`."""
    return json.dumps(json_record(result, class_names))


def json_record(result: Result, class_names: tuple[str, ...]) -> dict[str, Any]:
    """``{"source", "frame", "time", "width", "height", "detections": [{"box", "score", "class"}, ...]}``.

    Frame and time, in seconds, are those of a video; an image has neither. Boxes are [x1, y1, x2, y2] in pixels.
    Numbers have just the digits that a float32 needs.
    """
    content: dict[str, Any] = {"source": result.source}
    if result.frame is not None:
        content["frame"] = result.frame
    if result.time is not None:
        content["time"] = round(result.time, 6)
    content |= {"width": result.width, "height": result.height}
    content["detections"] = [
        {"box": [shortest(side) for side in box], "score": shortest(score), "class": class_names[class_id]}
        for box, score, class_id in zip(
            result.detections.boxes, result.detections.scores, result.detections.class_ids, strict=True
        )
    ]
    return content
