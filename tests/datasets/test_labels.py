from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinier_yolo.datasets.labels import format_labels, load_data, load_names, load_samples, parse_labels
from tinier_yolo.datasets.paths import load_image_list
from tinier_yolo.errors import DataError, TinierYoloWarning


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
        "0 .5 .5 1_0e-2 .1",
        "\u0660 .5 .5 .1 .1",
        "0 .5 .5 .2",
        "1 .5 .5 .2 .2",
        "0 .5 .5 -.1 .2",
        "x .5 .5 .2 .2",
        "0 .5 .5 .2 nan",
        "0 50 50 20 20",
        "0.5 .5 .5 .2 .2",
    ],
)
def test_bad_labels_name_the_line(line: str) -> None:
    with pytest.raises(DataError, match=r"l\.txt: line 2: bad label"):
        parse_labels(f"0 .5 .5 .2 .2\n{line}\n", "l.txt", 1)


def test_boxes_without_area_are_left_out_with_a_word(folder: Path) -> None:
    text = "0 .5 .5 0 .2\n0 .5 .5 .2 .2\n0 .1 .1 .1 1e-60\n"
    boxes, class_ids, flat = parse_labels(text, "l.txt", 1)
    np.testing.assert_allclose(boxes, [[0.5, 0.5, 0.2, 0.2]])
    assert (len(class_ids), flat) == (1, (1, 3))
    (folder / "labels/a.txt").write_text(text)
    with pytest.warns(TinierYoloWarning, match=r"boxes without area are left out: 2 \(found .*a\.txt: line 1\)"):
        assert [len(sample.boxes) for sample in load_samples(folder / "list.txt")] == [1, 0]


#: The forms of public .data files, with the lists they give; names are those of the file beside or "class N".
PUBLIC = {
    "detector": "classes= 2\ntrain  = data/train.txt\nvalid  = data/test.txt\nnames = data/obj.names\nbackup = backup/",
    "classifier": """classes=2
        train=data/train.txt
        valid=data/test.txt
        labels=data/inet.labels.list
        names=data/obj.names
        map = data/inet.map
        tree = data/x.tree
        top=5
        eval=imagenet
        results = results""",
    "comments": """# all
        ;others
        classes=2 # two
        #train  = /home/x/y.txt
        train = data/train.txt ; first
        valid = data/test.txt\t# set
        names=data/obj.names""",
    "windows": "\ufeffclasses=2\r\ntrain = data\\train.txt \t\r\nvalid=data\\test.txt\r\nnames=data/obj.names\r\n\x1a",
    "blank values": """classes=2
        train=data/train.txt
        valid=data/test.txt
        names=data/obj.names
        backup=
        eval =
        names =""",
    "twice": """classes=2
        train=data/train.txt
        valid=data/test.txt
        names=data/obj.names
        classes=2
        train = data/train.txt""",
    "relative to itself": "classes=2\ntrain=train.txt\nvalid=test.txt\nnames=obj.names",
    "tabs": "\tclasses\t=\t2\n train\t=\tdata/train.txt\n  valid=data/test.txt  \nnames\t= data/obj.names",
}


@pytest.fixture
def darknet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Darknet's own folder, as the working folder: data/ with lists and names, cfg/ without."""
    (tmp_path / "data").mkdir()
    (tmp_path / "cfg").mkdir()
    (tmp_path / "data/obj.names").write_text("face\nmask\n\n")
    for name in ("train.txt", "test.txt"):
        (tmp_path / "data" / name).write_text("data/obj/a.jpg\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", PUBLIC)
def test_public_data_files(darknet: Path, form: str) -> None:
    (darknet / "data/obj.data").write_bytes(PUBLIC[form].encode())
    data = load_data("data/obj.data")
    assert data.class_names == ("face", "mask")
    assert data.train == Path("data/train.txt")
    assert data.valid == Path("data/test.txt")


def test_comments_of_any_encoding_and_characters_that_begin_comments_in_paths(darknet: Path) -> None:
    (darknet / "c#1;").mkdir()
    (darknet / "c#1;/train.txt").touch()
    (darknet / "x.data").write_bytes("# 训练\n".encode("gbk") + b"train = c#1;/train.txt\n")
    assert load_data("x.data").train == Path("c#1;/train.txt")


def test_the_file_in_the_working_folder_comes_first_with_a_word(darknet: Path) -> None:
    (darknet / "train.txt").touch()
    (darknet / "data/x.data").write_text("train = train.txt")
    with pytest.warns(TinierYoloWarning, match="the file in the working folder counts"):
        assert load_data("data/x.data").train == Path("train.txt")


def test_the_first_of_two_values_counts_with_a_word(darknet: Path) -> None:
    (darknet / "x.data").write_text("train=data/train.txt\ntrain=data/test.txt")
    with pytest.warns(TinierYoloWarning, match="line 2: train stands twice; the first counts"):
        assert load_data("x.data").train == Path("data/train.txt")


def test_classes_without_names(darknet: Path) -> None:
    (darknet / "x.data").write_text("classes = 3")
    assert load_data("x.data").class_names == ("class 0", "class 1", "class 2")
    (darknet / "x.data").write_text("classes = 1\nnames = data/gone.names")
    with pytest.warns(TinierYoloWarning, match=r"no such \.names file"):
        assert load_data("x.data").class_names == ("face",)


def test_a_key_that_nobody_knows_is_left_aside_with_a_word(darknet: Path) -> None:
    for key in ("gpus", "num_workers", "novel", "meta", "trainval", "val", "learning_rate", "metayolo"):
        (darknet / "x.data").write_text(f"classes = 1\n{key} = 0,1\n")
        with pytest.warns(TinierYoloWarning, match=rf"x\.data: line 2: a key that is not known here .*found {key}"):
            assert load_data("x.data").class_names == ("face",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clases=1", r"y\.data: line 1: unknown key \(expected classes\?, found clases\)"),
        ("classes=1\nvaild = x.txt", r"line 2: unknown key \(expected valid\?, found vaild\)"),
        ("Train=x.txt", r"unknown key \(expected train\?"),
        ("train: x.txt", r"line 1: not a line of a \.data file"),
        ("classes=2\nnames=face.names", "classes = 1"),
        ("classes=many", "bad number of classes"),
        ("classes=0", "bad number of classes"),
        ("classes=999999999", "bad number of classes"),
        ("names=none.names", "cannot read"),
        ("classes=1\0", r"line 1: a NUL byte in the \.data file"),
    ],
)
def test_bad_data_files(folder: Path, text: str, message: str) -> None:
    (folder / "y.data").write_text(text)
    with pytest.raises(DataError, match=message):
        load_data(folder / "y.data")


def test_darknets_set_in_darknets_folder(darknet: Path) -> None:
    (darknet / "data/obj").mkdir()
    (darknet / "data/obj/a.jpg").touch()
    (darknet / "data/obj/a.txt").write_text("1 .5 .5 .2 .2\n")
    (darknet / "data/obj.data").write_text(PUBLIC["detector"])
    data = load_data("data/obj.data")
    assert data.train is not None
    (sample,) = load_samples(data.train, len(data.class_names))
    assert sample.class_ids.tolist() == [1]


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
    found, found_ids, _ = parse_labels(text, "x.txt", 4)
    np.testing.assert_allclose(found, boxes, atol=5.1e-7)
    assert found_ids.tolist() == [0, 3]
    assert format_labels(boxes[:0], class_ids[:0]) == ""


@pytest.mark.shared
def test_the_shared_faces(shared: Path) -> None:
    data = load_data(shared / "data/faces/faces.data")
    assert data.train is not None
    assert data.valid is not None
    samples, held_out = load_samples(data.train), load_samples(data.valid)
    assert (len(samples), sum(len(sample.boxes) for sample in samples)) == (11971, 44724)
    assert (len(held_out), sum(len(sample.boxes) for sample in held_out)) == (300, 1120)
