from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.formats.fddb import format_record, read_fddb, write_fddb
from tinier_yolo.errors import DataError, DetectionsError, OutputError, TinierYoloWarning

FOUND = Detections.of([[1, 2, 11, 22.25], [0.5, 0, 4, 4]], [0.75, 1 / 3])


def test_the_form_of_a_record() -> None:
    assert format_record("2002/a", FOUND) == (
        "2002/a\n2\n1.000 2.000 10.000 20.250 0.75\n0.500 0.000 3.500 4.000 0.333333343\n"
    )
    assert format_record("none", Detections.empty()) == "none\n0\n"


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    write_fddb(tmp_path / "fold-01-out.txt", [("a", FOUND), ("b", Detections.empty())])
    first, second = read_fddb(tmp_path / "fold-01-out.txt")
    assert (first.name, second.name, second.rows.shape) == ("a", "b", (0, 5))
    assert first.rows.tolist() == [[1, 2, 10, 20.25, 0.75], [0.5, 0, 3.5, 4, 0.333333343]]


@given(st.floats(-1e6, 1e6, width=32))
def test_scores_come_back_to_the_last_bit(score: float) -> None:
    line = format_record("a", Detections.of([[0, 0, 1, 1]], [score])).splitlines()[2]
    assert np.float32(line.split()[-1]) == np.float32(score)


def test_a_folder_holds_the_folds_and_other_files(tmp_path: Path) -> None:
    for number in ("02", "01"):
        write_fddb(tmp_path / f"fold-{number}-out.txt", [(f"image {number}", FOUND)])
    (tmp_path / "DiscROC.txt").write_text("0 0 1\n")
    assert [record.name for record in read_fddb(tmp_path)] == ["image 01", "image 02"]


def test_bad_detections_are_told_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DetectionsError, match=r"no detections in the folder \(expected fold-\*-out.txt\)"):
        read_fddb(tmp_path)
    path = tmp_path / "found.txt"
    for line, told in {
        "1 2 3 4": "line 5: malformed line (expected x y w h score, found 1 2 3 4)",
        "1 2 3 4 NaN": "line 5: score is not a finite number (expected x y w h score, found 1 2 3 4 NaN)",
        "1 2 3 -4 1": "line 5: negative width or height (expected x y w h score, found 1 2 3 -4 1)",
    }.items():
        path.write_text(f"a\n0\nb\n1\n{line}\n")
        with pytest.raises(DataError) as caught:
            read_fddb(path)
        assert str(caught.value) == f"{path}: {told}"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_fddb(tmp_path / "file" / "out.txt", [])


def test_ellipses(tmp_path: Path) -> None:
    path = tmp_path / "found.txt"
    path.write_text("a\n1\n80 60 0.5 100 101 0.9\nb\n0\n")
    with pytest.warns(TinierYoloWarning, match="six numbers a line are read as an ellipse"):
        assert read_fddb(path)[0].rows.tolist() == [[80, 60, 0.5, 100, 101, 0.9]]
    assert read_fddb(path, "ellipse")[0].rows.tolist() == [[80, 60, 0.5, 100, 101, 0.9]]
    assert read_fddb(path, "rectangle")[0].rows.tolist() == [[80, 60, 0.5, 100, 101]]
    path.write_text("a\n1\n80 -60 0.5 100 101 0.9\n")
    with pytest.raises(DataError, match="line 3: a negative radius"):
        read_fddb(path, "ellipse")


def test_further_numbers_are_told_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "found.txt"
    path.write_text("a\n2\n1 2 3 4 0.5 7 7\n1 2 3 4 0.25\n")
    with pytest.warns(TinierYoloWarning, match="more than five numbers a line; the first five are read"):
        assert read_fddb(path)[0].rows.tolist() == [[1, 2, 3, 4, 0.5], [1, 2, 3, 4, 0.25]]


#: The forms of public files of detections; all hold the same two records.
PUBLIC = {
    "official": "a/b\n1\n1 2 3 4 0.5\nc\n0\n",
    "counts with a point": "a/b\n1.0\n1 2 3 4 0.5\nc\n0.0\n",
    "counts with an exponent": "a/b\n1e0\n1 2 3 4 0.5\nc\n0.000000e+00\n",
    "counts of NumPy": "a/b\n1.\n1 2 3 4 0.5\nc\n0.\n",
    "a sign, spaces and tabs": " a/b \n +1 \n\t1\t2  3 4\t0.5  \nc\t\n 0 \n",
    "DOS": "a/b\r\n1\r\n1 2 3 4 0.5\r\nc\r\n0\r\n\x1a",
    "a byte-order mark": "\ufeffa/b\n1\n1 2 3 4 0.5\nc\n0",
    "blank lines": "a/b\n1\n1 2 3 4 0.5\n\nc\n0\n\n \n",
    "words after numbers": "a/b\n1 face\n1 2 3 4 0.5f\nc\n0 faces\n",
    "exponents": "a/b\n1\n1e0 2.000000e+00 3. 4.0 5e-01\nc\n0\n",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", PUBLIC)
def test_public_files(tmp_path: Path, form: str) -> None:
    path = tmp_path / "found.txt"
    path.write_bytes(PUBLIC[form].encode())
    assert [(record.name, record.rows.tolist()) for record in read_fddb(path)] == [
        ("a/b", [[1, 2, 3, 4, 0.5]]),
        ("c", []),
    ]
