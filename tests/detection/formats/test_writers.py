from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.datasets.coco import load_coco
from tinier_yolo.datasets.labels import parse_labels
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.formats import FORMATS
from tinier_yolo.detection.formats.fddb import read_fddb
from tinier_yolo.detection.formats.result import Result, Target, shortest
from tinier_yolo.detection.formats.wider import read_wider
from tinier_yolo.detection.formats.writers import open_writer
from tinier_yolo.errors import DetectionsError, UsageError

NAMES = ("face", "mask")
IMAGE = Result(
    "photos/a, b.jpg",
    "event/a, b",
    200,
    100,
    Detections.of([[10.1, 20.2, 50.3, 60], [0, 0, 200, 100]], [0.9, 0.3], [0, 1]),
)
NOTHING = Result("clip.mp4", "clip/000007", 64, 48, Detections.empty(), frame=7)


def text(name: str, *results: Result, folder: Path = Path("unused")) -> str:
    stream = io.StringIO()
    writer = open_writer(name, Target(stream, folder, NAMES))
    for result in results:
        writer.write(result)
    writer.close()
    return stream.getvalue()


def test_a_json_line_says_what_there_is() -> None:
    lines = text("jsonl", IMAGE, NOTHING).splitlines()
    assert lines[0] == (
        '{"source": "photos/a, b.jpg", "width": 200, "height": 100, "detections": '
        '[{"box": [10.1, 20.2, 50.3, 60.0], "score": 0.9, "class": "face"}, '
        '{"box": [0.0, 0.0, 200.0, 100.0], "score": 0.3, "class": "mask"}]}'
    )
    assert lines[1] == '{"source": "clip.mp4", "frame": 7, "width": 64, "height": 48, "detections": []}'


def test_a_json_document_holds_the_objects_of_the_lines() -> None:
    for results in ((), (IMAGE,), (IMAGE, NOTHING, IMAGE)):
        lines = text("jsonl", *results).splitlines()
        assert json.loads(text("json", *results)) == [json.loads(line) for line in lines]


def test_coco_is_a_document_that_comes_back(tmp_path: Path) -> None:
    document = json.loads(text("coco", IMAGE, NOTHING, IMAGE))
    assert document["categories"] == [{"id": 1, "name": "face"}, {"id": 2, "name": "mask"}]
    names = [image["file_name"] for image in document["images"]]
    assert names == ["photos/a, b.jpg", "clip/000007.png", "photos/a, b.jpg"]
    assert [row["image_id"] for row in document["annotations"]] == [1, 1, 3, 3]
    assert document["annotations"][0] == {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [10.1, 20.2, 40.2, 39.8], "area": 1599.96, "iscrowd": 0,
        "segmentation": [], "score": 0.9,
    }  # fmt: skip
    path = tmp_path / "coco.json"
    path.write_text(text("coco", IMAGE, NOTHING))
    sample = load_coco(path, tmp_path)["photos/a, b.jpg"]
    np.testing.assert_allclose(sample.boxes, [[0.151, 0.401, 0.201, 0.398]], atol=1e-5)
    assert json.loads(text("coco")) == {"annotations": [], "images": [], "categories": document["categories"]}


def test_csv_has_a_row_for_each_detection() -> None:
    rows = list(csv.DictReader(io.StringIO(text("csv", IMAGE, NOTHING))))
    assert len(rows) == 2
    expected = {"source": "photos/a, b.jpg", "frame": "", "width": "200", "height": "100"}
    expected |= {"x1": "10.1", "y1": "20.2", "x2": "50.3", "y2": "60.0", "score": "0.9", "class": "face", "time": ""}
    assert rows[0] == expected
    assert rows[1]["class"] == "mask"


def test_yolo_labels_are_read_back_by_the_reader_of_labels(tmp_path: Path) -> None:
    assert text("yolo", IMAGE, NOTHING, folder=tmp_path) == ""
    assert (tmp_path / "clip" / "000007.txt").read_text() == ""
    path = tmp_path / "event" / "a, b.txt"
    boxes, class_ids, _ = parse_labels(path.read_text(), path, 2)
    np.testing.assert_allclose(boxes, [[0.151, 0.401, 0.201, 0.398], [0.5, 0.5, 1, 1]], atol=2e-6)
    assert class_ids.tolist() == [0, 1]


def test_classes_stand_beside_yolo_labels_in_every_folder(tmp_path: Path) -> None:
    for _ in range(2):
        text("yolo", IMAGE, NOTHING, folder=tmp_path)
    for folder in ("clip", "event"):
        assert (tmp_path / folder / "classes.txt").read_text() == "face\nmask\n"
    (tmp_path / "event" / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DetectionsError, match=r"event/classes\.txt: the folder holds labels of other classes"):
        text("yolo", IMAGE, folder=tmp_path)
    assert (tmp_path / "event" / "classes.txt").read_text() == "dog\ncat\n"


def test_fddb_and_wider_are_read_back_by_their_readers(tmp_path: Path) -> None:
    (tmp_path / "fddb.txt").write_text(text("fddb", IMAGE, NOTHING))
    image, nothing = read_fddb(tmp_path / "fddb.txt")
    assert (image.name, nothing.name) == ("event/a, b", "clip/000007")
    np.testing.assert_allclose(image.rows[0], [10.1, 20.2, 40.2, 39.8, 0.9], atol=1e-3)
    text("wider", IMAGE, NOTHING, folder=tmp_path)
    nothing, image = read_wider(tmp_path)
    assert (image.name, nothing.name) == ("event/a, b", "clip/000007")
    np.testing.assert_allclose(image.rows[0], [10.1, 20.2, 40.2, 39.8, 0.9], atol=1e-3)


def test_every_format_has_a_writer(tmp_path: Path) -> None:
    for name in FORMATS:
        written = text(name, IMAGE, folder=tmp_path / name)
        assert (tmp_path / name).exists() == FORMATS[name].makes_files == (written == "")
    with pytest.raises(UsageError, match="unknown format"):
        text("xml")


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_number_is_still_the_same(value: float) -> None:
    number = np.float32(value)
    assert np.float32(shortest(number)) == number
    assert len(repr(shortest(number))) <= len(repr(float(number)))
