"""Writes small .mat files in the form of WIDER FACE's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from tinier_yolo.datasets.wider import WIDER_ATTRIBUTES, WiderImage


def cells(items: Sequence[Any]) -> NDArray[np.object_]:
    """A column of MATLAB cells."""
    column = np.empty((len(items), 1), object)
    for index, item in enumerate(items):
        column[index, 0] = item
    return column


def by_event(images: Iterable[WiderImage]) -> dict[str, list[WiderImage]]:
    events: dict[str, list[WiderImage]] = {}
    for image in images:
        events.setdefault(image.event, []).append(image)
    return events


def common(images: Iterable[WiderImage]) -> dict[str, Any]:
    events = by_event(images)
    return {
        "event_list": cells(list(events)),
        "file_list": cells([cells([i.name.partition("/")[2] for i in group]) for group in events.values()]),
        "face_bbx_list": cells([cells([i.boxes for i in group]) for group in events.values()]),
    }


def write_split(path: Path, images: Sequence[WiderImage]) -> None:
    labels = {
        f"{name}_label_list": cells([cells([i.attribute(name)[:, None] for i in g]) for g in by_event(images).values()])
        for name in WIDER_ATTRIBUTES
    }
    savemat(path, {**common(images), **labels})


def write_subset(path: Path, images: Sequence[WiderImage], counted: Mapping[str, Sequence[int]]) -> None:
    groups = by_event(images).values()
    indices = [cells([np.array(counted.get(i.name, []), float)[:, None] + 1 for i in group]) for group in groups]
    savemat(path, {**common(images), "gt_list": cells(indices)})


def write_ground_truth(
    folder: Path, images: Sequence[WiderImage], subsets: Mapping[str, Mapping[str, Sequence[int]]]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_split(folder / "wider_face_val.mat", images)
    for name, counted in subsets.items():
        write_subset(folder / f"wider_{name}_val.mat", images, counted)
