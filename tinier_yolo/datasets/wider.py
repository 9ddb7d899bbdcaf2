"""The annotations of WIDER FACE, as text and as .mat files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        shapes = {column.shape for column in labels}
        if shapes != {(len(boxes), 1)} or boxes.shape[1:] != (4,):
            expected = "boxes (n, 4) and labels (n, 1)"
            raise DataError("boxes and labels differ", path=path, place=name, expected=expected, found=boxes.shape)
        images.append(WiderImage(name, boxes.astype(np.float64), np.hstack(labels).astype(np.int8)))
    return tuple(images)


def load_wider_subset(path: PathLike) -> dict[str, NDArray[np.intp]]:
    """Read ``wider_easy_val.mat`` and its like: for each image the indices, from 0, of the faces that count.

    Raises:
        DataError: the file cannot be read or lacks what such a file holds.
    """
    subset = {}
    for name, (counted, boxes) in _wider_lists(path, ("gt_list", "face_bbx_list")):
        indices = np.asarray(counted, np.intp).reshape(-1) - 1
        if indices.size and not (indices.min() >= 0 and indices.max() < len(boxes)):
            expected = f"indices 1..{len(boxes)}"
            raise DataError("an index that is no face", path=path, place=name, expected=expected)
        subset[name] = indices
    return subset


def _wider_lists(path: PathLike, keys: Iterable[str]) -> Iterator[tuple[str, tuple[NDArray[Any], ...]]]:
    # The files hold cell arrays of cell arrays: events of images. Each image yields its name and its cell of each key.
    lists = _load_mat(path)
    try:
        events = [str(cell[0][0]) for cell in lists["event_list"]]
        for number, event in enumerate(events):
            columns = [lists[key][number][0] for key in keys]
            for index, cell in enumerate(lists["file_list"][number][0]):
                yield f"{event}/{cell[0][0]}", tuple(column[index][0] for column in columns)
    except KeyError as error:
        raise DataError("not a file of WIDER FACE", path=path, expected=error.args[0]) from error
    except (IndexError, TypeError) as error:
        raise DataError("not a file of WIDER FACE", path=path, expected="cells by event and image") from error


def _load_mat(path: PathLike) -> dict[str, Any]:
    from scipy.io import loadmat  # slow to import, and wanted for .mat files alone

    try:
        with Path(path).open("rb") as file:
            contents: dict[str, Any] = loadmat(file)
            return contents
    except OSError as error:
        raise DataError("cannot read the .mat file", path=path, found=error.strerror or str(error)) from error
    except Exception as error:  # a damaged file makes scipy raise nearly anything
        raise DataError("not a .mat file, or a damaged one", path=path, found=str(error)[:80]) from error
