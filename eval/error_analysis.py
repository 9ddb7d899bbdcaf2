"""The kinds of errors that a detector makes at its operating point: faces that it misses, and false alarms.

A detection and a face belong together where the face is the one that the detection overlaps most, by at least
:data:`NEAR`. A missed face that nothing belongs to got no response. One that a detection below the threshold belongs to
would need a higher score (this comes first where that detection's box is good enough), and one that a kept detection
belongs to needs a better box. A false alarm is a duplicate
where its box is good enough for a face that another detection found, a loose box where it belongs to a face but is not
good enough, and background otherwise. The limits are those of Bolya et al., TIDE, ECCV 2020: 0.5 and 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.eval.heights import Heights, in_range, label
from tinier_yolo.eval.matching import FALSE_ALARM

#: Least IoU of a detection and a face that belong together.
NEAR = 0.1
#: Ranges of face height at network size.
HEIGHTS: tuple[Heights, ...] = ((0, 48), (48, 64), (64, 96), (96, math.inf))

Box = tuple[float, float, float, float]


class Miss(StrEnum):
    """Why a face was missed."""

    NO_RESPONSE = "no_response"
    UNDER_THRESHOLD = "under_threshold"
    LOOSE_BOX = "loose_box"


class FalseAlarm(StrEnum):
    """What a detection is that found no face."""

    DUPLICATE = "duplicate"
    LOOSE_BOX = "loose_box"
    BACKGROUND = "background"


@dataclass(frozen=True)
class ErrorOptions:
    """Where the heights of faces are told.

    Attributes:
        network_size: (width, height) in pixels.
        letter_box: whether images keep their aspect ratio there.
    """

    network_size: tuple[int, int]
    letter_box: bool = True


@dataclass(frozen=True, eq=False)
class Judged:
    """An image's detections, held against its faces by the protocol of a benchmark.

    Attributes:
        name: the image.
        path: its file.
        scale: pixels at network size to a pixel of the image, vertically.
        faces: float64 (m, 4), xyxy, in pixels of the image.
        boxes: float64 (n, 4), xyxy: detections of any score.
        scores: float64 (n,).
        overlap: float64 (n, m): IoU of every detection with every face, as the protocol counts it.
        hits: bool (n, m): where that is enough to find the face.
        found: intp (n,): for a kept detection the face that it found, FALSE_ALARM or IGNORED.
        kept: bool (n,): whether the score reaches the threshold.
        upright: whether the boxes lie on the image turned as its EXIF orientation says; see ``read_image``.
    """

    name: str
    path: Path
    scale: float
    faces: NDArray[np.float64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    overlap: NDArray[np.float64]
    hits: NDArray[np.bool_]
    found: NDArray[np.intp]
    kept: NDArray[np.bool_]
    upright: bool = False

    @property
    def heights(self) -> NDArray[np.float64]:
        """(m,): the faces' heights at network size, in pixels."""
        heights: NDArray[np.float64] = (self.faces[:, 3] - self.faces[:, 1]) * self.scale
        return heights


@dataclass(frozen=True)
class Error:
    """A missed face or a false alarm.

    Attributes:
        image: its image.
        path: the image's file.
        kind: what kind of error it is.
        box: the missed face, or the detection; xyxy in pixels of the image.
        height: of that box at network size, in pixels.
        score: of the detection; for a missed face, of the best detection that belongs to it; None where none does.
        overlap: IoU of the two; 0 where there is one alone.
        other: the detection that belongs to a missed face, the face nearest to a false alarm; None where there is none.
        upright: whether the boxes lie on the image turned as its EXIF orientation says; see ``read_image``.
    """

    image: str
    path: Path
    kind: Miss | FalseAlarm
    box: Box
    height: float
    score: float | None
    overlap: float
    other: Box | None
    upright: bool = False


@dataclass(frozen=True)
class HeightBand:
    """The faces of a range of heights, and those of them that were missed."""

    heights: Heights
    faces: int
    misses: tuple[Error, ...]


@dataclass(frozen=True)
class Analysis:
    """All errors on a set at one threshold.

    Attributes:
        threshold: the operating point's; None where no threshold has few enough false alarms, and nothing is kept.
        network_size: (width, height) at which heights are told.
        images: the number of images that could be read.
        bands: their faces by height.
        misses: missed faces: kind after kind, the tallest first.
        false_alarms: kind after kind, the highest score first.
    """

    threshold: float | None
    network_size: tuple[int, int]
    images: int
    bands: tuple[HeightBand, ...]
    misses: tuple[Error, ...]
    false_alarms: tuple[Error, ...]

    @property
    def faces(self) -> int:
        """All faces of these images."""
        return sum(band.faces for band in self.bands)

    def summary(self) -> dict[str, Any]:
        """The content of ``errors.json``. Errors are numbered from 1 as on the contact sheet."""
        return {
            "threshold": self.threshold,
            "network_size": list(self.network_size),
            "images": self.images,
            "faces": self.faces,
            "misses": {
                **_counts(self.misses, Miss),
                "by_height": [
                    {"height": label(band.heights), "faces": band.faces, **_counts(band.misses, Miss)}
                    for band in self.bands
                ],
            },
            "false_alarms": _counts(self.false_alarms, FalseAlarm),
            "errors": [_row(number, error) for number, error in enumerate((*self.misses, *self.false_alarms), 1)],
        }

    def text(self) -> str:
        """The counts, for a person."""
        score = "no threshold" if self.threshold is None else f"score {self.threshold:.4f}"
        width, height = self.network_size
        missed, alarms = len(self.misses), _counts(self.false_alarms, FalseAlarm)
        lines = [
            f"errors at {score}: {missed} of {self.faces} faces missed, {alarms['total']} false alarms",
            f"faces by height at {width}x{height} (pixels)   faces  missed  " + "  ".join(map(_words, Miss)),
        ]
        for name, faces, misses in [
            *((label(band.heights), band.faces, band.misses) for band in self.bands),
            ("all", self.faces, self.misses),
        ]:
            counts = _counts(misses, Miss)
            cells = "  ".join(f"{counts[kind]:>{len(kind)}}" for kind in Miss)
            lines.append(f"{name:>38} {faces:>7}  {counts['total']:>6}  {cells}")
        lines.append("false alarms: " + ", ".join(f"{alarms[kind]} {_words(kind)}" for kind in FalseAlarm))
        return "\n".join(lines)


def analyse(images: Iterable[Judged], threshold: float | None, network_size: tuple[int, int]) -> Analysis:
    """Tell the kinds of all errors.

    Args:
        images: the images of the set that could be read, their detections judged at the threshold.
        threshold: least score of what was kept; None: nothing was.
        network_size: (width, height) at which the images' scales tell heights.
    """
    misses: list[Error] = []
    alarms: list[Error] = []
    heights: list[NDArray[np.float64]] = [np.empty(0)]
    for image in images:
        heights.append(image.heights)
        misses.extend(missed_faces(image))
        alarms.extend(false_alarms(image))
    misses.sort(key=lambda error: (list(Miss).index(Miss(error.kind)), -error.height, error.image, error.box))
    alarms.sort(key=lambda e: (list(FalseAlarm).index(FalseAlarm(e.kind)), -(e.score or 0), e.image, e.box))
    tall = np.concatenate(heights)
    missed = np.array([error.height for error in misses])
    bands = tuple(
        HeightBand(
            band,
            int(in_range(tall, band).sum()),
            tuple(misses[index] for index in np.flatnonzero(in_range(missed, band))),
        )
        for band in HEIGHTS
    )
    return Analysis(threshold, network_size, len(heights) - 1, bands, tuple(misses), tuple(alarms))


def missed_faces(image: Judged) -> list[Error]:
    """The faces of an image that no kept detection found."""
    found = image.found[image.kept & (image.found >= 0)]
    # What found a face belongs to that face, and what lies on an ignored box to none.
    free = ~image.kept | (image.found == FALSE_ALARM)
    errors = []
    for face in np.setdiff1d(np.arange(len(image.faces)), found).tolist():
        kind, response = _why_missed(image, face, free)
        errors.append(_error(image, kind, image.faces[face], response, face))
    return errors


def _why_missed(image: Judged, face: int, free: NDArray[np.bool_]) -> tuple[Miss, int | None]:
    # The kind, and the best detection that belongs to the face.
    overlap = image.overlap[:, face]
    belongs = free & (overlap >= NEAR) & (overlap >= image.overlap.max(axis=1))
    for kind, responses in (
        (Miss.UNDER_THRESHOLD, belongs & ~image.kept & image.hits[:, face]),
        (Miss.LOOSE_BOX, belongs & image.kept),
        (Miss.UNDER_THRESHOLD, belongs & ~image.kept),
    ):
        if responses.any():
            return kind, int(np.flatnonzero(responses)[np.argmax(image.scores[responses])])
    return Miss.NO_RESPONSE, None


def false_alarms(image: Judged) -> list[Error]:
    """The kept detections of an image that found no face."""
    errors = []
    for index in np.flatnonzero(image.kept & (image.found == FALSE_ALARM)).tolist():
        overlap = image.overlap[index]
        face = int(np.argmax(overlap)) if overlap.size and overlap.max() >= NEAR else None
        if face is None:
            kind = FalseAlarm.BACKGROUND
        else:
            kind = FalseAlarm.DUPLICATE if image.hits[index, face] else FalseAlarm.LOOSE_BOX
        errors.append(_error(image, kind, image.boxes[index], index, face))
    return errors


def _error(
    image: Judged, kind: Miss | FalseAlarm, box: NDArray[np.float64], detection: int | None, face: int | None
) -> Error:
    other = None
    if isinstance(kind, Miss):
        other = None if detection is None else _box(image.boxes[detection])
    elif face is not None:
        other = _box(image.faces[face])
    return Error(
        image.name,
        image.path,
        kind,
        _box(box),
        float((box[3] - box[1]) * image.scale),
        None if detection is None else float(image.scores[detection]),
        0.0 if detection is None or face is None else float(image.overlap[detection, face]),
        other,
        image.upright,
    )


def _box(box: NDArray[np.float64]) -> Box:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom


def _counts(errors: Sequence[Error], kinds: type[Miss] | type[FalseAlarm]) -> dict[str, int]:
    return {"total": len(errors), **{str(kind): sum(e.kind == kind for e in errors) for kind in kinds}}


def _row(number: int, error: Error) -> dict[str, Any]:
    return {
        "number": number,
        "error": "miss" if isinstance(error.kind, Miss) else "false_alarm",
        "kind": str(error.kind),
        "image": error.image,
        "box": [round(value, 1) for value in error.box],
        "height": round(error.height, 1),
        "score": None if error.score is None else round(error.score, 6),
        "overlap": round(error.overlap, 4),
    }


def _words(kind: str) -> str:
    return kind.replace("_", " ")
