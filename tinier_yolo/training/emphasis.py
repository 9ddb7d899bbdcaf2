"""What a run does with a data set beside reading it: images that are shown more often, labels that are corrected.

Both files name images as the training list does, and neither changes the data set:

- hard images, ``{"images": [{"image": "images/a.jpg", ...}, ...]}``, as ``scripts/mine_hard.py`` writes them;
- corrections, ``{"images/a.jpg": {"add": [[cx, cy, w, h], ...], "remove": [...], "ignore": [...]}}``, boxes relative to
  the image. "remove" and "ignore" name a labelled box by one that overlaps it; the latter makes it an ignored one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.labels import Sample
from tinier_yolo.datasets.text import read_text
from tinier_yolo.detection.boxes import iou
from tinier_yolo.errors import DataError

#: The least IoU of a box in a correction with the label that it means.
SAME_BOX = 0.5
ACTIONS = ("add", "remove", "ignore")


def image_name(image: Path, list_path: Path) -> str:
    """What a list calls an image: its path from the list's folder, with slashes."""
    return Path(os.path.relpath(image, list_path.parent)).as_posix()


def digest(path: Path | None) -> str | None:
    """The SHA-256 of a file, by which a run knows it again; None without a file."""
    return None if path is None else hashlib.sha256(read_text(path, "file").encode()).hexdigest()


def load_hard(path: Path, samples: Sequence[Sample], list_path: Path) -> frozenset[Path]:
    """The images of a file of hard images.

    Raises:
        DataError: the file cannot be read, names no image, or one that the list does not.
    """
    known = {image_name(sample.image, list_path): sample.image for sample in samples}
    content = _read_json(path, "file of hard images")
    entries = content.get("images")
    if not isinstance(entries, list) or not entries:
        raise DataError("no hard images", path=path, expected='{"images": [{"image": NAME}, ...]}')
    found = set()
    for number, entry in enumerate(entries, start=1):
        name = entry.get("image") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in known:
            expected = f"an image of {list_path}"
            raise DataError(
                "unknown image", path=path, place=f"image {number}", expected=expected, found=str(name)[:80]
            )
        found.add(known[name])
    return frozenset(found)


def correct(path: Path, samples: Sequence[Sample], list_path: Path) -> tuple[Sample, ...]:
    """The samples with the labels that a file of corrections leaves them.

    Raises:
        DataError: the file cannot be read, names an image that the list does not, an unknown action, a bad box, or a
            box to remove that no label overlaps.
    """
    corrections = _read_json(path, "file of corrections")
    names = [image_name(sample.image, list_path) for sample in samples]
    if unknown := sorted(set(corrections) - set(names)):
        raise DataError("unknown image", path=path, expected=f"an image of {list_path}", found=unknown[0][:80])
    return tuple(
        _corrected(sample, corrections[name], name, path) if name in corrections else sample
        for name, sample in zip(names, samples, strict=True)
    )


def _corrected(sample: Sample, actions: Any, name: str, path: Path) -> Sample:
    if not isinstance(actions, dict) or not set(actions) <= set(ACTIONS):
        expected = f"an object with {', '.join(ACTIONS)}"
        raise DataError("bad correction", path=path, place=name, expected=expected, found=str(actions)[:60])
    add, remove, ignore = (_boxes(actions.get(action, []), f"{name} {action}", path) for action in ACTIONS)
    gone = _meant(sample.boxes, remove, f"{name} remove", path)
    hidden = _meant(sample.boxes, ignore, f"{name} ignore", path)
    keep = ~(gone | hidden)
    return replace(
        sample,
        boxes=np.concatenate([sample.boxes[keep], add]),
        # Whoever adds boxes adds faces: of several classes, the first.
        class_ids=np.concatenate([sample.class_ids[keep], np.zeros(len(add), np.int32)]),
        ignored=np.concatenate([sample.ignored, sample.boxes[hidden]]),
    )


def _boxes(rows: Any, place: str, path: Path) -> NDArray[np.float32]:
    expected = "a list of [cx, cy, w, h], relative to the image"
    try:
        boxes = np.array(rows, np.float32).reshape(-1, 4)
        good = bool(((boxes >= -0.5) & (boxes <= 1.5)).all() and (boxes[:, 2:] > 0).all())
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise DataError("bad box", path=path, place=place, expected=expected, found=str(rows)[:60])
    return boxes


def _meant(labels: NDArray[np.float32], named: NDArray[np.float32], place: str, path: Path) -> NDArray[np.bool_]:
    """Which labels (n,) are meant by the named boxes, each by its best overlap."""
    meant = np.zeros(len(labels), np.bool_)
    overlaps = iou(corners(named), corners(labels))
    for row, overlap in zip(named, overlaps, strict=True):
        if not len(overlap) or overlap.max() < SAME_BOX:
            raise DataError("no label overlaps the box", path=path, place=place, found=row.round(4).tolist())
        meant[overlap.argmax()] = True
    return meant


def corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (n, 4) cx cy w h -> x0 y0 x1 y1."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)


def _read_json(path: Path, what: str) -> Mapping[str, Any]:
    try:
        content = json.loads(read_text(path, what))
    except (ValueError, RecursionError) as error:
        raise DataError(f"the {what} is not JSON", path=path, found=str(error)[:80]) from error
    if not isinstance(content, dict):
        raise DataError(f"not a {what}", path=path, expected="a JSON object", found=type(content).__name__)
    return content
