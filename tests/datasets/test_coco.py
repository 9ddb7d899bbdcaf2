from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose

from tinier_yolo.datasets.coco import load_coco
from tinier_yolo.errors import DataError, TinierYoloWarning


def document() -> dict[str, Any]:
    return {
        "info": {"year": 2026},
        "categories": [{"id": 7, "name": "Face"}, {"id": 3, "name": "dog"}],
        "images": [
            {"id": 10, "file_name": "b/x.jpg", "width": 200, "height": 100},
            {"id": 4, "file_name": "a.jpg", "width": 50, "height": 50},
        ],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 7, "bbox": [20, 10, 40.0, 20], "iscrowd": 0},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [0, 0, 1, 1]},
            {"id": 3, "image_id": 10, "category_id": 7, "bbox": [100, 0, 100, 100], "iscrowd": 1},
            {"id": 4, "image_id": 10, "category_id": 7, "bbox": [150, 50, 50, 50], "ignore": 1},
        ],
    }


def load(folder: Path, content: Any) -> Any:
    (folder / "coco.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return load_coco(folder / "coco.json", folder / "images")


def test_boxes_of_faces_and_what_does_not_count(tmp_path: Path) -> None:
    samples = load(tmp_path, document())
    assert list(samples) == ["b/x.jpg", "a.jpg"]
    first = samples["b/x.jpg"]
    assert first.image == tmp_path / "images/b/x.jpg"
    assert_allclose(first.boxes, [[0.2, 0.2, 0.2, 0.2]], rtol=1e-6)
    assert_allclose(first.ignored, [[0.75, 0.5, 0.5, 1], [0.875, 0.75, 0.25, 0.5]], rtol=1e-6)
    assert samples["a.jpg"].boxes.shape == samples["a.jpg"].ignored.shape == (0, 4)


def test_the_only_category_counts_whatever_it_is_called(tmp_path: Path) -> None:
    content = document()
    content["categories"] = [{"id": 7, "name": "person"}]
    assert len(load(tmp_path, content)["b/x.jpg"].boxes) == 1


def test_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0]["bbox"] = [1, 2, 0, 4]
    with pytest.warns(TinierYoloWarning, match="without area are left out: 1"):
        assert len(load(tmp_path, content)["b/x.jpg"].boxes) == 0


@pytest.mark.parametrize(
    ("part", "number", "change", "told"),
    [
        ("categories", 0, {"name": "cat"}, "one called face"),
        ("categories", 0, {"id": "7"}, r"categories\[0\]"),
        ("images", 1, {"id": 10}, r"images\[1\]: a bad entry \(expected an id of its own, found 10\)"),
        ("images", 1, {"file_name": "b/x.jpg"}, "twice"),
        ("images", 1, {"file_name": "a\0b"}, r"images\[1\]"),
        ("images", 0, {"width": 0}, "width and height"),
        ("images", 0, {"height": None}, "width and height"),
        ("annotations", 0, {"image_id": 5}, r"annotations\[0\]"),
        ("annotations", 0, {"image_id": []}, r"annotations\[0\]"),
        ("annotations", 2, {"bbox": [1, 2, 3]}, r"annotations\[2\]: a bad entry \(expected bbox"),
        ("annotations", 0, {"bbox": [1, 2, 3, float("nan")]}, "bbox"),
        ("annotations", 0, {"bbox": [1, 2, -3, 4]}, "bbox"),
        ("annotations", 0, {"bbox": [1, 2, True, 4]}, "bbox"),
        ("annotations", 0, {"bbox": [190, 2, 300, 4]}, "bbox"),
        ("annotations", 0, {"bbox": [10**400, 2, 3, 4]}, "bbox"),
    ],
)
def test_bad_entries_are_named(part: str, number: int, change: dict[str, Any], told: str, tmp_path: Path) -> None:
    content = document()
    content[part][number] |= change
    with pytest.raises(DataError, match=told):
        load(tmp_path, content)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"categories": 1}', "[" * 100_000, '{"categories": [1]}'])
def test_other_documents_are_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"coco\.json"):
        load(tmp_path, content)
