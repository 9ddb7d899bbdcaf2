"""The contact sheet of an error analysis: crops of what was missed and of false alarms, for a person to name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import PathLike
from tinier_yolo.eval.error_analysis import Analysis, Error, Miss
from tinier_yolo.eval.figure import ANNOTATION, FALSE_ALARM, MISSED, rectangle
from tinier_yolo.eval.report import write_json
from tinier_yolo.media.images import read_image, write_image

# Pixels: a crop's side, the strip with its caption, the strip with a kind's title; and how many crops there are.
_SIDE, _CAPTION, _TITLE = 160, 20, 34
_COLUMNS, _ROWS = 12, 4
_MARGIN = 0.5  # of the box's longer side, seen on each side of it
_PAPER = 255


def write_errors(out: Path, analysis: Analysis) -> None:
    """Write ``errors.json``, and ``errors.png`` where there is an error.

    Raises:
        MediaError: an image cannot be read, or a file cannot be written.
    """
    write_json(out / "errors.json", analysis.summary())
    if analysis.misses or analysis.false_alarms:
        draw_sheet(out / "errors.png", analysis)


def draw_sheet(path: PathLike, analysis: Analysis) -> None:
    """Draw a block of crops for each kind of error, each with its number in ``errors.json``, height and score.

    Of a kind with more errors than a block holds, some are shown that are spread evenly over them.

    Raises:
        MediaError: an image cannot be read, or the sheet cannot be written.
    """
    numbered = list(enumerate((*analysis.misses, *analysis.false_alarms), 1))
    blocks = []
    # The two kinds called loose box are different types, though equal as texts.
    for (_, kind), group in groupby(numbered, lambda pair: (type(pair[1].kind), pair[1].kind)):
        errors = list(group)
        what = "missed" if isinstance(kind, Miss) else "false alarm"
        shown = [errors[i] for i in _spread(len(errors), _COLUMNS * _ROWS)]
        title = f"{what}: {kind.replace('_', ' ')}, {len(shown)} of {len(errors)}"
        blocks.append(_block(title, shown))
    write_image(path, np.vstack(blocks))


def crop(error: Error, rgb: NDArray[np.uint8], side: int = _SIDE) -> NDArray[np.uint8]:
    """The place of an error, its boxes drawn: uint8 (side, side, 3); grey beyond the image's border.

    Args:
        error: what to show, in the middle.
        rgb: its image, uint8 (height, width, 3).
        side: of the result, in pixels.
    """
    left, top, right, bottom = error.box
    half = max(right - left, bottom - top, 8.0) * (0.5 + _MARGIN)
    scale = side / (2 * half)
    shift = side / 2 - scale * np.array([(left + right) / 2, (top + bottom) / 2])
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = (128, 128, 128)
    picture = cv2.warpAffine(rgb, matrix, (side, side), flags=smoothing, borderValue=grey).astype(np.uint8, copy=False)
    missed = isinstance(error.kind, Miss)
    boxes = [(error.other, FALSE_ALARM if missed else ANNOTATION), (error.box, MISSED if missed else FALSE_ALARM)]
    for box, color in boxes:
        if box is not None:
            # A box of any size may stand in a file; OpenCV draws what lies inside.
            corners = np.clip(np.reshape(box, (2, 2)) * scale + shift, -side, 2 * side)
            rectangle(picture, np.rint(corners).astype(int).ravel().tolist(), color, 2)
    return picture


def _spread(total: int, most: int) -> list[int]:
    indices: list[int] = np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int)).tolist()
    return indices


def _block(title: str, errors: Sequence[tuple[int, Error]]) -> NDArray[np.uint8]:
    rows = -(-len(errors) // _COLUMNS)
    height = _SIDE + _CAPTION
    block = np.full((_TITLE + rows * height, _COLUMNS * _SIDE, 3), _PAPER, np.uint8)
    _write(block, title, (6, _TITLE - 11), 0.7)
    for place, (number, error) in enumerate(errors):
        top, left = _TITLE + place // _COLUMNS * height, place % _COLUMNS * _SIDE
        picture = crop(error, read_image(error.path, upright=error.upright), _SIDE - 4)
        block[top : top + _SIDE - 4, left : left + _SIDE - 4] = picture
        score = "" if error.score is None else f" s{error.score:.2f}"
        _write(block, f"{number}: h{error.height:.0f}{score}", (left + 2, top + _SIDE + 9), 0.42)
    return block


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int], size: float) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
