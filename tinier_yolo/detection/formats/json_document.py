"""JSON: one document, a list with an object for each picture."""

from __future__ import annotations

from tinier_yolo.detection.formats.json_lines import json_line
from tinier_yolo.detection.formats.result import Result, Target


class JsonDocumentWriter:
    """Writes the list as it grows: the objects are those of JSON Lines."""

    def __init__(self, target: Target) -> None:
        self._stream, self._class_names = target.stream, target.class_names
        self._before = "[\n"

    def write(self, result: Result) -> None:
        """Write one object of the list."""
        self._stream.write(self._before + json_line(result, self._class_names))
        self._before = ",\n"

    def close(self) -> None:
        """End the list."""
        self._stream.write("[]\n" if self._before == "[\n" else "\n]\n")
