from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.datasets.classes import PathClasses, load_class_data, load_class_images
from tinier_yolo.errors import DataError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder / "x.data"


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_data_file_as_darknet_has_it(tmp_path: Path) -> None:
    images(tmp_path, "a/n01_5.jpg", "a/n02_7.jpg")
    path = write(
        tmp_path,
        x_data="classes=2\ntrain=train.list\nvalid=valid.list\nlabels=x.labels\nnames=x.names\ntop=2\nbackup=b\n",
        x_labels="n01\nn02\n",
        x_names="tench\ngoldfish\n",
        train_list="a/n02_7.jpg\na/n01_5.jpg\n",
        valid_list="a/n01_5.jpg\n",
    )
    data = load_class_data(path)
    assert (data.class_names, data.labels, data.top) == (("tench", "goldfish"), ("n01", "n02"), 2)
    train = data.load_train()
    assert train.class_ids.tolist() == [1, 0]
    assert train.images[0] == tmp_path / "a/n02_7.jpg"
    assert len(data.load_valid()) == 1


def test_a_folder_of_folders(tmp_path: Path) -> None:
    images(tmp_path, "train/dog/1.jpg", "train/dog/0.JPEG", "train/cat/x.png", "train/cat/notes.txt", "test/dog/9.jpg")
    data = load_class_data(tmp_path)
    assert (data.class_names, data.top) == (("cat", "dog"), 2)
    train, valid = data.load_train(), data.load_valid()
    assert [path.name for path in train.images] == ["x.png", "0.JPEG", "1.jpg"]
    assert train.class_ids.tolist() == [0, 1, 1]
    assert valid.class_ids.tolist() == [1]


def test_names_stand_in_for_labels_and_there_may_be_no_valid_list(tmp_path: Path) -> None:
    data = load_class_data(write(tmp_path, x_data="names=x.names\n", x_names="cat\ndog\n"))
    assert data.labels == ("cat", "dog")
    assert len(data.load_valid()) == 0
    with pytest.raises(DataError, match="no train list"):
        data.load_train()


@pytest.mark.parametrize(
    ("path", "class_id"),
    [("train/cat/1.jpg", 0), ("train/wildcat/1.jpg", 2), ("x\\dog\\1.jpg", 1), ("wildcat_cat.png", 2)],
)
def test_the_longest_label_in_a_path_counts(path: str, class_id: int) -> None:
    assert PathClasses(("cat", "dog", "wildcat")).class_of(path) == class_id


@pytest.mark.parametrize(
    ("path", "problem"),
    [("train/1.jpg", "contains no class (expected one of 2 labels"), ("cat/dog.jpg", "several classes, cat and dog")],
)
def test_a_path_of_no_class_or_of_two(path: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        PathClasses(("cat", "dog")).class_of(path)
    assert problem in str(caught.value)


@given(
    st.lists(st.text("ab/", min_size=1, max_size=4), min_size=1, max_size=6, unique=True), st.text("ab/", max_size=12)
)
def test_any_path_has_the_class_that_the_rule_gives(labels: list[str], path: str) -> None:
    inside = [label for label in labels if label in path]
    longest = [label for label in inside if not any(label != other and label in other for other in inside)]
    try:
        found = labels[PathClasses(labels).class_of(path)]
    except DataError:
        assert len(longest) != 1
    else:
        assert [found] == longest


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"x_data": "train=t\n"}, ["no class names", "labels = FILE"]),
        ({"x_data": "labels=x.labels\nclasses=3\n"}, ["classes and labels differ", "expected 2 classes, found 3"]),
        ({"x_data": "labels=x.labels\nnames=x.names\n"}, ["names and labels differ", "found 1"]),
        ({"x_data": "labels=x.labels\nclasses=0\n"}, ["bad number of classes"]),
        ({"x_data": "labels=x.labels\ntop=3\n"}, ["bad value of top", "1..2"]),
        ({"x_data": "labels=x.labels\ntop=\u0663\n"}, ["bad value of top"]),
        ({"x_data": "labels=x.labels\ntop=99999999999999999999\n"}, ["bad value of top"]),
        ({"x_data": "lables=x.labels\n"}, ["unknown key", "labels?"]),
        ({"x_data": "labels=twice.txt\n", "twice_txt": "a\nb\na\n"}, ["a label stands twice", "found a"]),
        ({"x_data": "labels\n"}, ["line 1", "KEY = VALUE"]),
    ],
)
def test_bad_data_files(tmp_path: Path, files: dict[str, str], parts: list[str]) -> None:
    path = write(tmp_path, x_labels="cat\ndog\n", x_names="one\n", **files)
    with pytest.raises(DataError) as caught:
        load_class_data(path)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_problems_of_a_list_are_told_together(tmp_path: Path) -> None:
    images(tmp_path, "dog/1.jpg")
    (tmp_path / "list.txt").write_text("dog/1.jpg\nbird/2.jpg\ndog/gone.jpg\n")
    with pytest.raises(DataError) as caught:
        load_class_images(tmp_path / "list.txt", ("cat", "dog"))
    assert "line 2: the path contains no class" in str(caught.value)
    assert "line 3" in str(caught.value)


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder of classes"):
        load_class_data(tmp_path)
    images(tmp_path, "train/dog/1.jpg", "train/cat/2.jpg", "test/bird/1.jpg", "empty/dog/notes.txt")
    data = load_class_data(tmp_path)
    with pytest.raises(DataError, match="a folder of no class"):
        data.load_valid()
    with pytest.raises(DataError, match="no images in the folders"):
        load_class_images(tmp_path / "empty", ("cat", "dog"))


def test_hidden_folders_are_no_classes_and_any_name_can_be_told(tmp_path: Path) -> None:
    images(tmp_path, "train/dog/1.jpg", "train/.cache/2.jpg", "train/a\udcffb/3.jpg")
    data = load_class_data(tmp_path)
    assert data.class_names == ("a\\udcffb", "dog")
    assert data.load_train().class_ids.tolist() == [0, 1]
