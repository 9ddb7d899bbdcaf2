from __future__ import annotations

from pathlib import Path

import pytest

from tinier_yolo.datasets.paths import find_sibling, load_image_list, locate, read_image_list, sibling_path
from tinier_yolo.errors import DataError, TinierYoloWarning


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with here.jpg and both.jpg, and a folder data/ with there.jpg and another both.jpg."""
    (tmp_path / "data").mkdir()
    for name in ("here.jpg", "both.jpg", "data/there.jpg", "data/both.jpg"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_start_in_the_working_folder_and_then_beside_the_file_that_names_them(tree: Path) -> None:
    folder = Path("data")
    assert locate("here.jpg", folder) == (Path("here.jpg"), False)
    assert locate("data/there.jpg", folder) == (Path("data/there.jpg"), False)
    assert locate("there.jpg", folder) == (Path("data/there.jpg"), False)
    assert locate("both.jpg", folder) == (Path("both.jpg"), True)
    assert locate("gone.jpg", folder) == (Path("data/gone.jpg"), False)
    assert locate(str(tree / "here.jpg"), folder) == (tree / "here.jpg", False)
    assert locate("x" * 5000, folder) == (Path("data") / ("x" * 5000), False)


def test_windows_separators_are_the_second_choice(tree: Path) -> None:
    assert locate("data\\there.jpg", Path()) == (Path("data/there.jpg"), False)
    (tree / "data\\there.jpg").touch()
    assert locate("data\\there.jpg", Path()) == (Path("data\\there.jpg"), False)


def test_a_list_in_the_working_folder_is_not_twofold(tree: Path) -> None:
    (tree / "list.txt").write_text("here.jpg\n\n both.jpg \n")
    assert load_image_list("list.txt") == (Path("here.jpg"), Path("both.jpg"))
    assert load_image_list(tree / "list.txt") == (Path("here.jpg"), Path("both.jpg"))


def test_a_file_in_both_places_is_told(tree: Path) -> None:
    (tree / "data/list.txt").write_text("there.jpg\nboth.jpg\n")
    with pytest.warns(TinierYoloWarning, match=r"list\.txt: line 2: 1 files are in the working folder and beside"):
        images = read_image_list("data/list.txt")
    assert [(image.line, image.entry, str(image.path)) for image in images] == [
        (1, "there.jpg", "data/there.jpg"),
        (2, "both.jpg", "both.jpg"),
    ]


def test_an_empty_list(tree: Path) -> None:
    (tree / "empty.txt").write_text("\n \r\n")
    with pytest.raises(DataError, match=r"empty\.txt: an image list without images"):
        read_image_list("empty.txt")


@pytest.mark.parametrize(
    ("image", "labels", "ignore"),
    [
        ("images/a.jpg", "labels/a.txt", "ignore/a.txt"),
        ("images/set/images/x.b.jpg", "images/set/labels/x.b.txt", "images/set/ignore/x.b.txt"),
        ("VOC2007/JPEGImages/a.jpg", "VOC2007/labels/a.txt", "VOC2007/ignore/a.txt"),
        ("/data/raw/train/a.png", "/data/labels/train/a.txt", "/data/ignore/train/a.txt"),
        ("photos/a.jpg", "photos/a.txt", "photos/ignore/a.txt"),
        ("images.jpg", "images.txt", "ignore/images.txt"),
    ],
)
def test_where_the_text_file_of_an_image_belongs(image: str, labels: str, ignore: str) -> None:
    assert sibling_path(Path(image), "labels") == Path(labels)
    assert sibling_path(Path(image), "ignore") == Path(ignore)


def test_labels_beside_the_image_are_the_second_choice(tmp_path: Path) -> None:
    image = tmp_path / "images/a.jpg"
    image.parent.mkdir()
    assert find_sibling(image, "labels") is None
    image.with_suffix(".txt").touch()
    assert find_sibling(image, "labels") == tmp_path / "images/a.txt"
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").touch()
    assert find_sibling(image, "labels") == tmp_path / "labels/a.txt"
