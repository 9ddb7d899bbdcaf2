"""The annotations of WIDER FACE, as text and as .mat files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.mat import Value, read_mat
from tinier_yolo.datasets.records import index_records, read_records
from tinier_yolo.errors import DataError, PathLike

#: WIDER FACE's attributes of a face and their values, in the order of ``wider_face_*_bbx_gt.txt``.
WIDER_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "blur": ("clear", "normal", "heavy"),
    "expression": ("typical", "exaggerate"),
    "illumination": ("normal", "extreme"),
    "invalid": ("false", "true"),
    "occlusion": ("no", "partial", "heavy"),
    "pose": ("typical", "atypical"),
}

_VALUES = tuple(len(values) for values in WIDER_ATTRIBUTES.values())


@dataclass(frozen=True, eq=False)
class WiderImage:
    """An image of WIDER FACE.

    Attributes:
        name: event and file without the extension, ``0--Parade/0_Parade_marchingband_1_465``.
        boxes: float64 (n, 4): x, y, width, height in pixels.
        attributes: int8 (n, 6), the columns of :data:`WIDER_ATTRIBUTES`.
    """

    name: str
    boxes: NDArray[np.float64]
    attributes: NDArray[np.int8]

    @property
    def event(self) -> str:
        """The folder of the image."""
        return self.name.partition("/")[0]

    @property
    def invalid(self) -> NDArray[np.bool_]:
        """(n,): faces marked invalid by the annotators, or boxes without area. Neither right nor wrong to find."""
        flat: NDArray[np.bool_] = np.any(self.boxes[:, 2:] <= 0, axis=1)
        marked: NDArray[np.bool_] = self.attribute("invalid") == 1
        return marked | flat

    def attribute(self, name: str) -> NDArray[np.int8]:
        """The values (n,) of one attribute."""
        return self.attributes[:, list(WIDER_ATTRIBUTES).index(name)]


def load_wider_text(path: PathLike) -> tuple[WiderImage, ...]:
    """Read ``wider_face_*_bbx_gt.txt``.

    Raises:
        DataError: a malformed line, an attribute out of range, or an image that appears twice.
    """
    records = read_records(path, ("x1", "y1", "w", "h", *WIDER_ATTRIBUTES), "WIDER FACE bbx_gt.txt")
    images = []
    for name, record in index_records(records).items():
        attributes = record.rows[:, 4:]
        wrong = np.flatnonzero(np.any((attributes < 0) | (attributes >= _VALUES), axis=1))
        if wrong.size:
            expected = "values as in the data set's readme.txt"
            raise DataError("an attribute out of range", path=path, place=record.place(wrong[0]), expected=expected)
        images.append(WiderImage(name.removesuffix(".jpg"), record.rows[:, :4], attributes.astype(np.int8)))
    return tuple(images)


def load_wider_split(path: PathLike) -> tuple[WiderImage, ...]:
    """Read ``wider_face_train.mat`` or ``wider_face_val.mat``.

    Raises:
        DataError: the file cannot be read or lacks what such a file holds.
    """
    keys = ("face_bbx_list", *(f"{name}_label_list" for name in WIDER_ATTRIBUTES))
    images = []
    for name, (boxes, *labels) in _wider_lists(path, keys):
        if any(column.shape != (len(boxes), 1) for column in labels) or boxes.shape[1:] != (4,):
            expected = "boxes (n, 4) and labels (n, 1)"
            raise DataError("boxes and labels differ", path=path, place=name, expected=expected, found=boxes.shape)
        attributes = np.hstack(labels)
        if not (_are_whole(attributes) and ((attributes >= 0) & (attributes < _VALUES)).all()):
            raise DataError("an attribute out of range", path=path, place=name)
        if not np.isfinite(boxes).all():
            raise DataError("a box that is not finite", path=path, place=name)
        images.append(WiderImage(name, boxes, attributes.astype(np.int8)))
    return tuple(images)


def load_wider_subset(path: PathLike) -> dict[str, NDArray[np.intp]]:
    """Read ``wider_easy_val.mat`` and its like: for each image the indices, from 0, of the faces that count.

    Raises:
        DataError: the file cannot be read or lacks what such a file holds.
    """
    subset = {}
    for name, (counted, boxes) in _wider_lists(path, ("gt_list", "face_bbx_list")):
        numbers = counted.reshape(-1)
        if not (_are_whole(numbers) and ((numbers >= 1) & (numbers <= len(boxes))).all()):
            expected = f"indices 1..{len(boxes)}"
            raise DataError("an index that is no face", path=path, place=name, expected=expected)
        subset[name] = numbers.astype(np.intp) - 1
    return subset


def _wider_lists(path: PathLike, keys: Sequence[str]) -> Iterator[tuple[str, tuple[NDArray[np.float64], ...]]]:
    # The files hold cells of cells: events of images. Each image yields its name and its numbers of each key.
    lists = read_mat(path, ("event_list", "file_list", *keys))
    for key in ("event_list", "file_list", *keys):
        if key not in lists:
            raise DataError("not a file of WIDER FACE", path=path, expected=key)
    events = _cells(lists["event_list"], path)
    files = _cells(lists["file_list"], path, len(events))
    columns = [_cells(lists[key], path, len(events)) for key in keys]
    for number, event in enumerate(events):
        names = _cells(files[number], path)
        values = [_cells(column[number], path, len(names)) for column in columns]
        for index, name in enumerate(names):
            whole = f"{_part(event, path)}/{_part(name, path)}"
            yield whole, tuple(_numbers(value[index], path, whole) for value in values)


def _cells(value: Value, path: PathLike, count: int | None = None) -> tuple[Value, ...]:
    # What is empty may be written as a matrix of no numbers.
    items = () if isinstance(value, np.ndarray) and value.size == 0 else value
    if not isinstance(items, tuple) or count not in (None, len(items)):
        raise DataError("not a file of WIDER FACE", path=path, expected="cells by event and image")
    return items


def _part(value: Value, path: PathLike) -> str:
    # Of a path below a folder that the file does not name: it must not lead out of that.
    while isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or value in ("", ".", "..") or not value.isprintable() or set(value) & set("/\\"):
        expected = "names of an event and of a file, without folders"
        raise DataError("not a file of WIDER FACE", path=path, expected=expected, found=repr(value)[:80])
    return value


def _numbers(value: Value, path: PathLike, name: str) -> NDArray[np.float64]:
    while isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        raise DataError("not a file of WIDER FACE", path=path, place=name, expected="numbers")
    return value


def _are_whole(numbers: NDArray[np.float64]) -> bool:
    return bool((np.isfinite(numbers) & (numbers == np.rint(numbers))).all())
