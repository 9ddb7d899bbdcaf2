from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import savemat

from tests.eval.wider.wider_files import cells, write_split, write_subset
from tinier_yolo.datasets.wider import (
    WIDER_ATTRIBUTES,
    WiderImage,
    load_wider_split,
    load_wider_subset,
    load_wider_text,
)
from tinier_yolo.errors import DataError

WIDER = """0--Parade/first.jpg
2
449 330 122 149 0 0 0 0 0 0
5 6 7 8 2 1 1 1 2 1
0--Parade/none.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Handshaking/flat.jpg
1
3 4 0 5 0 0 0 0 0 0
"""
IMAGES = (
    WiderImage(
        "0--Parade/first",
        np.array([[449.0, 330, 122, 149], [5, 6, 7, 8]]),
        np.array([[0] * 6, [2, 1, 1, 1, 2, 1]], np.int8),
    ),
    WiderImage("0--Parade/none", np.empty((0, 4)), np.empty((0, 6), np.int8)),
    WiderImage("1--Handshaking/flat", np.array([[3.0, 4, 0, 5]]), np.zeros((1, 6), np.int8)),
)


def same(found: tuple[WiderImage, ...]) -> bool:
    return all(
        a.name == b.name and np.array_equal(a.boxes, b.boxes) and np.array_equal(a.attributes, b.attributes)
        for a, b in zip(found, IMAGES, strict=True)
    )


def test_wider_text(tmp_path: Path) -> None:
    path = tmp_path / "wider_face_val_bbx_gt.txt"
    path.write_text(WIDER)
    images = load_wider_text(path)
    assert same(images)
    assert images[0].event == "0--Parade"
    assert images[0].attribute("occlusion").tolist() == [0, 2]
    assert [image.invalid.tolist() for image in images] == [[False, True], [], [True]]


def test_a_wider_attribute_out_of_range(tmp_path: Path) -> None:
    path = tmp_path / "bbx_gt.txt"
    path.write_text(WIDER.replace("2 1 1 1 2 1", "3 1 1 1 2 1"))
    with pytest.raises(DataError, match="line 4: an attribute out of range"):
        load_wider_text(path)


def test_wider_mat_equals_the_text(tmp_path: Path) -> None:
    write_split(tmp_path / "wider_face_val.mat", IMAGES)
    assert same(load_wider_split(tmp_path / "wider_face_val.mat"))


def test_wider_subset_counts_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "wider_easy_val.mat"
    write_subset(path, IMAGES, {"0--Parade/first": [0, 1]})
    subset = load_wider_subset(path)
    assert {name: indices.tolist() for name, indices in subset.items()} == {
        "0--Parade/first": [0, 1],
        "0--Parade/none": [],
        "1--Handshaking/flat": [],
    }
    write_subset(path, IMAGES, {"0--Parade/first": [2]})
    with pytest.raises(DataError, match=r"0--Parade/first: an index that is no face \(expected indices 1..2\)"):
        load_wider_subset(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"x": 1}, "not a file of WIDER FACE"),
        ({"event_list": np.zeros((2, 2)), "file_list": 1, "face_bbx_list": 1}, "not a file of WIDER FACE"),
        (
            {
                "event_list": cells(["e"]),
                "file_list": cells([cells(["f"])]),
                "face_bbx_list": cells([cells([np.zeros((2, 4))])]),
                **{f"{name}_label_list": cells([cells([np.zeros((1, 1))])]) for name in WIDER_ATTRIBUTES},
            },
            "e/f: boxes and labels differ",
        ),
    ],
)
def test_other_mat_files(tmp_path: Path, content: dict[str, Any], told: str) -> None:
    savemat(tmp_path / "other.mat", content)
    with pytest.raises(DataError, match=told):
        load_wider_split(tmp_path / "other.mat")


@pytest.mark.parametrize("name", ["../../ESCAPED", "/etc", "..", "a\\b", "a/b", "a\nb"])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / "wider_face_val.mat"
    boxes = np.zeros((0, 4))
    for event, file in ((name, "f"), ("e", name)):
        content = {"event_list": cells([event]), "file_list": cells([cells([file])])}
        savemat(path, {**content, "face_bbx_list": cells([cells([boxes])]), "gt_list": cells([cells([boxes])])})
        with pytest.raises(DataError, match="names of an event and of a file, without folders"):
            load_wider_subset(path)


@pytest.mark.parametrize("index", [1.5, np.nan, np.inf, 0, -1, 2**60])
def test_indices_that_are_none(tmp_path: Path, index: float) -> None:
    path = tmp_path / "wider_easy_val.mat"
    content = {"event_list": cells(["e"]), "file_list": cells([cells(["f"])])}
    lists = {"face_bbx_list": cells([cells([np.zeros((1, 4))])]), "gt_list": cells([cells([np.array([[index]])])])}
    savemat(path, {**content, **lists})
    with pytest.raises(DataError, match="e/f: an index that is no face"):
        load_wider_subset(path)


@pytest.mark.parametrize("value", [3, 0.5, -1, np.nan])
def test_attributes_and_boxes_out_of_range(tmp_path: Path, value: float) -> None:
    path = tmp_path / "wider_face_val.mat"
    column = {f"{name}_label_list": cells([cells([np.array([[value]])])]) for name in WIDER_ATTRIBUTES}
    content = {"event_list": cells(["e"]), "file_list": cells([cells(["f"])])}
    savemat(path, {**content, **column, "face_bbx_list": cells([cells([np.zeros((1, 4))])])})
    with pytest.raises(DataError, match="e/f: an attribute out of range"):
        load_wider_split(path)


def test_what_is_no_mat_file(tmp_path: Path) -> None:
    write_split(tmp_path / "whole.mat", IMAGES)
    whole = (tmp_path / "whole.mat").read_bytes()
    for name, content in {"empty": b"", "text": b"hello" * 100, "short": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"not a .mat file, or a damaged one|cannot read the .mat file"):
            load_wider_split(tmp_path / name)
    with pytest.raises(DataError, match="cannot read"):
        load_wider_split(tmp_path / "missing.mat")


@pytest.mark.shared
def test_the_official_files(shared: Path) -> None:
    wider = shared / "data/wider"
    split = load_wider_split(wider / "wider_face_split/wider_face_val.mat")
    text = {image.name: image for image in load_wider_text(wider / "wider_face_split/wider_face_val_bbx_gt.txt")}
    assert len(split) == len(text) == 3226
    for image in split:
        assert_array_equal(image.boxes, text[image.name].boxes)
        assert_array_equal(image.attributes, text[image.name].attributes)
    easy = load_wider_subset(wider / "ground_truth/wider_easy_val.mat")
    assert sum(map(len, easy.values())) == 7211
