"""What is written about one picture, and what all writers have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from tinier_yolo.detection.detections import Detections


@dataclass(frozen=True, eq=False)
class Result:
    """The detections of an image, or of a frame of a video.

    Attributes:
        source: the image's path, the video's path, or the camera's number.
        name: a relative path without a suffix, another one for each picture: FDDB, WIDER FACE and YOLO files go by it.
        width: of the picture in pixels.
        height: of the picture in pixels.
        detections: boxes in pixels of the picture.
        frame: the number of the frame, from 0; None for an image.
        time: of the frame, in seconds from the beginning; None for an image.
    """

    source: str
    name: str
    width: int
    height: int
    detections: Detections
    frame: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class Target:
    """Where a writer writes to.

    Attributes:
        stream: a text file, for formats that are one text.
        folder: for formats that make files of their own.
        class_names: a name for each class id.
    """

    stream: IO[str]
    folder: Path
    class_names: tuple[str, ...]


class ResultWriter(Protocol):
    """Takes results one by one. ``close`` ends what was written, also where there are no more results than these."""

    def write(self, result: Result) -> None:
        """Write one result."""

    def close(self) -> None:
        """Write what has to stand at the end."""


def shortest(value: np.float32) -> float:
    """The number with the fewest digits that is still this float32: 0.3, not 0.30000001192092896."""
    return float(str(np.float32(value)))
