"""FDDB's detections held against its faces, for the analysis of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.fddb import FddbImage
from tinier_yolo.detection.boxes import xywh_to_xyxy
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.eval.error_analysis import ErrorOptions, Judged
from tinier_yolo.eval.fddb.dataset import FddbSet
from tinier_yolo.eval.fddb.overlap import Size, ellipse_boxes, overlaps
from tinier_yolo.eval.fddb.protocol import find_faces, in_order
from tinier_yolo.eval.matching import FALSE_ALARM, is_hit


def judge_all(
    fddb: FddbSet,
    files: Mapping[str, Path],
    rows: Mapping[str, NDArray[np.float64]],
    sizes: Mapping[str, Size],
    threshold: float | None,
    options: ErrorOptions,
) -> Iterator[Judged]:
    """The images whose sizes are known, judged at a threshold; None keeps nothing.

    Args:
        fddb: the set.
        files: the images' files, by name.
        rows: detections by image name, as of :func:`eval.fddb.protocol.curve`.
        sizes: (width, height) by image name.
        threshold: least score of what is kept.
        options: where heights are told.
    """
    for image in fddb.images:
        if image.name in sizes:
            size = sizes[image.name]
            scale = Letterbox.fit(size, options.network_size, options.letter_box).scale[1]
            found = rows.get(image.name, np.empty((0, 5)))
            yield judge(image, files[image.name], found, size, np.inf if threshold is None else threshold, scale)


def judge(
    image: FddbImage, path: Path, rows: NDArray[np.float64], size: Size, threshold: float, scale: float
) -> Judged:
    """One image's detections and faces; the box of an ellipse is the one around it."""
    rows, ellipses = in_order(rows, image.ellipses)
    regions, scores = rows[:, :-1], rows[:, -1]
    overlap = overlaps(regions, ellipses, size)
    kept = scores >= threshold
    is_ellipse = regions.shape[1] == ellipses.shape[1]
    boxes = ellipse_boxes(regions) if is_ellipse else xywh_to_xyxy(regions)
    return Judged(
        image.name,
        path,
        scale,
        ellipse_boxes(ellipses),
        boxes,
        scores,
        overlap,
        is_hit(overlap, strict=True),
        # Highest scores come first, so that what is kept is the first rows.
        np.concatenate([find_faces(overlap[kept]), np.full(np.count_nonzero(~kept), FALSE_ALARM)]),
        kept,
    )
