"""COCO's annotations of objects: one JSON document of ``images``, ``annotations`` and ``categories``.

Boxes are ``[x, y, width, height]`` in pixels. Crowds (``iscrowd``: 1), and boxes marked ``ignore`` as some tools do,
count neither for nor against a detector.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from tinier_yolo.datasets.labels import Sample
from tinier_yolo.datasets.text import read_text
from tinier_yolo.errors import DataError, PathLike, warn

#: The category that counts of a set with several.
FACE = "face"
_WHAT = "COCO annotation file"
#: How far outside the image a box may lie, in parts of it: annotators draw over the border.
_OUTSIDE = 0.5


@dataclass
class _Image:
    name: str
    width: int
    height: int
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    ignored: list[tuple[float, ...]] = field(default_factory=list)

    def sample(self, root: Path) -> Sample:
        boxes, ignored = (np.array(rows, np.float32).reshape(-1, 4) for rows in (self.boxes, self.ignored))
        return Sample(root / self.name, boxes, np.zeros(len(boxes), np.int32), ignored)


def load_coco(path: PathLike, images: PathLike) -> dict[str, Sample]:
    """The samples of a set of faces: of the only category, or of the one that is called "face".

    Args:
        path: the JSON document.
        images: the folder that the files' names start from.

    Returns:
        Samples by file name, in the document's order; an image without annotations has none.

    Raises:
        DataError: not such a document; an entry of another form, which is named; no such category.
    """
    try:
        document = json.loads(read_text(path, _WHAT))
    except (ValueError, RecursionError) as error:
        raise DataError(f"not a {_WHAT}", path=path, expected="JSON", found=error) from error
    if not isinstance(document, dict):
        raise DataError(f"not a {_WHAT}", path=path, expected="an object of images, annotations and categories")
    reader = _Reader(path)
    face = reader.face(document)
    found = reader.images(document)
    reader.annotate(document, found, face)
    samples = {image.name: image.sample(Path(images)) for image in found.values()}
    if len(samples) < len(found):
        raise DataError("an image twice in the document", path=path)
    return samples


class _Reader:
    """Looks at every entry of a document before it is used; problems name the entry."""

    def __init__(self, path: PathLike) -> None:
        self._path = path

    def _entries(self, document: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        rows = document.get(name)
        if not isinstance(rows, list):
            raise DataError(f"no list of {name}", path=self._path, expected=f'"{name}": [...]')
        for number, row in enumerate(rows):
            place = f"{name}[{number}]"
            if not isinstance(row, dict):
                raise self._bad(place, "an object", row)
            yield place, row

    def _bad(self, place: str, expected: str, found: object) -> DataError:
        return DataError("a bad entry", path=self._path, place=place, expected=expected, found=str(found)[:60])

    def face(self, document: dict[str, Any]) -> int:
        """The id of the category that counts."""
        names: dict[int, str] = {}
        for place, row in self._entries(document, "categories"):
            if not _is_id(row.get("id")) or not isinstance(row.get("name"), str):
                raise self._bad(place, "an id and a name", row)
            names[row["id"]] = row["name"]
        faces = [key for key, name in names.items() if len(names) == 1 or name.casefold() == FACE]
        if len(faces) != 1:
            expected = f"one category, or one called {FACE}"
            raise DataError("not a set of faces", path=self._path, expected=expected, found=", ".join(names.values()))
        return faces[0]

    def images(self, document: dict[str, Any]) -> dict[int, _Image]:
        """The images by their ids."""
        found: dict[int, _Image] = {}
        for place, row in self._entries(document, "images"):
            name, width, height = row.get("file_name"), row.get("width"), row.get("height")
            if not _is_id(row.get("id")) or not isinstance(name, str) or not name or "\0" in name:
                raise self._bad(place, "an id and a file_name", row)
            if not (_is_id(width) and _is_id(height) and min(width, height) > 0):
                raise self._bad(place, "width and height in pixels", (width, height))
            if row["id"] in found:
                raise self._bad(place, "an id of its own", row["id"])
            found[row["id"]] = _Image(name, width, height)
        if not found:
            raise DataError("no images in the document", path=self._path)
        return found

    def annotate(self, document: dict[str, Any], images: dict[int, _Image], face: int) -> None:
        """Give the images their boxes; those without area are left out, with a word."""
        flat = 0
        for place, row in self._entries(document, "annotations"):
            key = row.get("image_id")
            if not _is_id(key) or key not in images or not _is_id(row.get("category_id")):
                raise self._bad(place, "the ids of an image and a category", row)
            if row["category_id"] != face:
                continue
            image, box = images[key], row.get("bbox")
            if not isinstance(box, list) or not _is_box(box, image):
                raise self._bad(place, "bbox: [x, y, width, height] in pixels of the image", box)
            x, y, width, height = box
            if min(width, height) <= 0:
                flat += 1
                continue
            relative = ((x + width / 2) / image.width, (y + height / 2) / image.height)
            counts = not row.get("iscrowd") and not row.get("ignore")
            (image.boxes if counts else image.ignored).append((*relative, width / image.width, height / image.height))
        if flat:
            warn(f"boxes without area are left out: {flat}", path=self._path)


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_box(box: list[Any], image: _Image) -> bool:
    if len(box) != 4 or any(isinstance(side, bool) or not isinstance(side, int | float) for side in box):
        return False
    x, y, width, height = box
    if not all(-1e9 < side < 1e9 for side in box) or width < 0 or height < 0:  # also NaN
        return False
    spans = ((x, width, image.width), (y, height, image.height))
    return all(low / side >= -_OUTSIDE and (low + span) / side <= 1 + _OUTSIDE for low, span, side in spans)
