from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinier_yolo.datasets.labels import (
    format_labels,
    load_data,
    load_image_list,
    load_names,
    load_samples,
    parse_labels,
    sibling_path,
)
from tinier_yolo.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "labels", "ignore"):
        (tmp_path / name).mkdir()
    for stem, label in (("a", "0 .5 .5 .2 .2\r\n\r\n0 0.1 0.1 0.1 0.1\r\n"), ("b", "")):
        (tmp_path / "images" / f"{stem}.jpg").write_bytes(b"x")
        (tmp_path / "labels" / f"{stem}.txt").write_text(label)
    (tmp_path / "ignore" / "b.txt").write_text("0 .5 .5 .1 .1\n")
    (tmp_path / "list.txt").write_bytes(b"images/a.jpg\r\n\r\n  images/b.jpg \r\n")
    (tmp_path / "face.names").write_text("face\n")
    (tmp_path / "x.data").write_text("classes = 1\ntrain=list.txt # all\nnames = face.names\n")
    return tmp_path


def test_a_data_set_is_read(folder: Path) -> None:
    data = load_data(folder / "x.data")
    assert data.class_names == ("face",)
    assert data.valid is None
    a, b = load_samples(folder / "list.txt")
    np.testing.assert_allclose(a.boxes, [[0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]], rtol=1e-6)
    assert a.ignored.shape == (0, 4)
    assert b.boxes.shape == (0, 4)
    assert b.ignored.shape == (1, 4)
    assert load_image_list(folder / "list.txt") == (folder / "images/a.jpg", folder / "images/b.jpg")


def test_missing_labels_are_listed_with_their_lines(folder: Path) -> None:
    (folder / "labels" / "b.txt").unlink()
    (folder / "list.txt").write_text("\nimages/a.jpg\nimages/b.jpg\nimages/c.jpg\n")
    with pytest.raises(DataError) as caught:
        load_samples(folder / "list.txt")
    message = str(caught.value)
    assert "line 3" in message
    assert "no label file" in message
    assert "line 4" in message
    assert "no such image" in message
    assert "\n" not in message


def test_no_more_than_ten_problems_are_listed(folder: Path) -> None:
    (folder / "list.txt").write_text("".join(f"images/none{n}.jpg\n" for n in range(30)))
    with pytest.raises(DataError) as caught:
        load_samples(folder / "list.txt")
    assert str(caught.value).count("no such image") == 10
    assert "line 11" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "0 .5 .5 .2",
        "1 .5 .5 .2 .2",
        "0 .5 .5 0 .2",
        "x .5 .5 .2 .2",
        "0 .5 .5 .2 nan",
        "0 50 50 20 20",
        "0.5 .5 .5 .2 .2",
    ],
)
def test_bad_labels_name_the_line(line: str) -> None:
    with pytest.raises(DataError, match=r"l\.txt: line 2: bad label"):
        parse_labels(f"0 .5 .5 .2 .2\n{line}\n", "l.txt", 1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("images/set/images/x.b.jpg", "images/set/labels/x.b.txt"),
        ("photos/a.jpg", "photos/a.txt"),
        ("images.jpg", "images.txt"),
    ],
)
def test_the_label_file_of_an_image(image: str, expected: str) -> None:
    assert sibling_path(Path(image), "labels") == Path(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [("clases=1", "unknown key"), ("classes=2\nnames=face.names", "classes = 1"), ("names=none.names", "cannot read")],
)
def test_bad_data_files(folder: Path, text: str, message: str) -> None:
    (folder / "y.data").write_text(text)
    with pytest.raises(DataError, match=message):
        load_data(folder / "y.data")


def test_empty_and_binary_files(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n \n")
    for load in (load_names, load_image_list, load_samples):
        with pytest.raises(DataError, match=r"empty\.txt"):
            load(folder / "empty.txt")
    (folder / "binary.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        load_image_list(folder / "binary.txt")


def test_what_is_written_is_read() -> None:
    boxes, class_ids = np.array([[0.5, 0.25, 1 / 3, 0.125], [1, 0, 1e-5, 2e-6]]), np.array([0, 3])
    text = format_labels(boxes, class_ids)
    assert text == "0 0.500000 0.250000 0.333333 0.125000\n3 1.000000 0.000000 0.000010 0.000002\n"
    found, found_ids = parse_labels(text, "x.txt", 4)
    np.testing.assert_allclose(found, boxes, atol=5.1e-7)
    assert found_ids.tolist() == [0, 3]
    assert format_labels(boxes[:0], class_ids[:0]) == ""


@pytest.mark.shared
def test_the_shared_faces(shared: Path) -> None:
    data = load_data(shared / "data/faces/faces.data")
    assert data.train is not None
    assert data.valid is not None
    samples, held_out = load_samples(data.train), load_samples(data.valid)
    assert (len(samples), sum(len(sample.boxes) for sample in samples)) == (9106, 24104)
    assert (len(held_out), sum(len(sample.boxes) for sample in held_out)) == (300, 1120)
