from __future__ import annotations

from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from tinier_yolo.datasets.fddb import load_fddb
from tinier_yolo.errors import DataError

FDDB = """2002/08/11/big/img_591
1
123.583300 85.549500 1.265839 269.693400 161.781200  1
2002/08/26/big/img_265
0
"""


def write_fold(folder: Path, number: str, text: str) -> None:
    (folder / f"FDDB-fold-{number}-ellipseList.txt").write_text(text)


def test_fddb_folds_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_fold(tmp_path, "02", "later\n1\n2 1 0 5 5 1\n")
    write_fold(tmp_path, "01", FDDB)
    (tmp_path / "FDDB-fold-01.txt").write_text("not an ellipse list")
    first, second = load_fddb(tmp_path)
    assert (first.number, second.number) == ("01", "02")
    assert [image.name for image in first.images] == ["2002/08/11/big/img_591", "2002/08/26/big/img_265"]
    assert_array_equal(first.images[0].ellipses, [[123.5833, 85.5495, 1.265839, 269.6934, 161.7812]])
    assert first.images[1].ellipses.shape == (0, 5)


def test_ellipse_lists_as_the_official_program_reads_them(tmp_path: Path) -> None:
    write_fold(tmp_path, "01", "a\r\n1.0\r\n3 2 0 5 5 1 extra\r\nb\r\n0\r\n\x1a")
    ((a, b),) = (fold.images for fold in load_fddb(tmp_path))
    assert_array_equal(a.ellipses, [[3, 2, 0, 5, 5]])
    assert b.name == "b"


def test_wrong_lines_of_ellipse_lists_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    write_fold(tmp_path, "01", "a\n2\n3 0 0 5 5 1\n3 2 0 5 5 1\na\n0\n")
    left_out: list[str] = []
    ((image,),) = (fold.images for fold in load_fddb(tmp_path, left_out))
    assert_array_equal(image.ellipses, [[3, 2, 0, 5, 5]])
    assert ["line 3: an ellipse without area" in left_out[0], "line 5: a twice" in left_out[1]] == [True, True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n1\n2 1 0 5 5\n", "line 3: malformed line"),
        ("a\n1\n2 0 0 5 5 1\n", "line 3: an ellipse without area"),
        ("later\n0\n", "later twice"),
    ],
)
def test_bad_ellipse_lists(tmp_path: Path, text: str, told: str) -> None:
    write_fold(tmp_path, "01", "later\n1\n2 1 0 5 5 1\n")
    write_fold(tmp_path, "02", text)
    with pytest.raises(DataError, match=told) as caught:
        load_fddb(tmp_path)
    assert caught.value.path == str(tmp_path / "FDDB-fold-02-ellipseList.txt")


def test_a_folder_without_folds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no FDDB annotations in the folder \(expected FDDB-fold-\*"):
        load_fddb(tmp_path)
    with pytest.raises(DataError, match="cannot read the folder"):
        load_fddb(tmp_path / "none")


@pytest.mark.shared
def test_the_official_files(shared: Path) -> None:
    folds = load_fddb(shared / "data/fddb/FDDB-folds")
    assert len(folds) == 10
    assert sum(len(fold.images) for fold in folds) == 2845
    assert sum(len(image.ellipses) for fold in folds for image in fold.images) == 5171
