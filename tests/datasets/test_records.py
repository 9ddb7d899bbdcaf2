from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.datasets.records import index_records, read_records
from tinier_yolo.errors import DataError

COLUMNS = ("x", "score")


def write(folder: Path, text: str) -> Path:
    path = folder / "records.txt"
    path.write_bytes(text.encode())
    return path


def message(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_records(write(folder, text), COLUMNS, "test file")
    return str(caught.value).replace(str(folder), "DIR")


def test_records_keep_names_rows_and_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "\r\na/b 1\r\n2\r\n1 0.5\r\n\r\n-2e3 1\r\nempty\r\n0\r\n")
    first, second = read_records(path, COLUMNS, "test file")
    assert (first.name, first.rows.tolist(), first.lines) == ("a/b 1", [[1, 0.5], [-2000, 1]], (2, 4, 6))
    assert (second.name, second.rows.shape, second.place()) == ("empty", (0, 2), "line 7")
    assert first.place(1) == "line 6"


def test_scores_keep_every_bit(tmp_path: Path) -> None:
    path = write(tmp_path, "a\n1\n0 0.12345678901234567\n")
    assert read_records(path, COLUMNS, "test file")[0].rows[0, 1] == 0.12345678901234567


def test_a_line_of_zeros_after_a_count_of_zero_is_skipped(tmp_path: Path) -> None:
    records = read_records(write(tmp_path, "a\n0\n0 0\nc\n0\n0.0 0.000\nb\n1\n0 0\n"), COLUMNS, "test file")
    assert [(record.name, len(record.rows)) for record in records] == [("a", 0), ("c", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "DIR/records.txt: an empty test file"),
        (
            "a\n",
            "DIR/records.txt: line 1: the file ends after a name (expected the number of lines of a, found nothing)",
        ),
        ("a\nb\n", "DIR/records.txt: line 2: bad count (expected the number of lines of a, found b)"),
        ("a\n1.5\n1 2\n", "DIR/records.txt: line 2: bad count (expected the number of lines of a, found 1.5)"),
        ("a\n1e1\n1 2\n", "DIR/records.txt: line 2: bad count (expected the number of lines of a, found 1e1)"),
        ("a\n1_0\n1 2\n", "DIR/records.txt: line 2: bad count (expected the number of lines of a, found 1_0)"),
        ("a\n1 2\nb\n0\n", "DIR/records.txt: line 2: bad count (expected the number of lines of a, found 1 2)"),
        (
            "a\n1\n1 2\n3 4\nb\n0\n",
            "DIR/records.txt: line 4: numbers where a name should be "
            "(expected a name, or a larger count above, found 3 4)",
        ),
        ("a\n-1\n", "DIR/records.txt: line 2: bad count (expected the number of lines of a, found -1)"),
        (
            f"a\n{'9' * 5000}\n",
            "DIR/records.txt: line 2: bad count (expected the number of lines of a, found " + "9" * 60 + ")",
        ),
        (
            "a\n2\n1 2\n",
            "DIR/records.txt: line 3: the file ends inside the record of a (expected 2 lines, found 1)",
        ),
        ("a\n1\n\n1 2 3\n", "DIR/records.txt: line 4: malformed line (expected x score, found 1 2 3)"),
        ("a\n1\n1 face\n", "DIR/records.txt: line 3: malformed line (expected x score, found 1 face)"),
        ("a\n1\n1 nan\n", "DIR/records.txt: line 3: score is not a finite number (expected x score, found 1 nan)"),
        ("a\n1\n-inf 1\n", "DIR/records.txt: line 3: x is not a finite number (expected x score, found -inf 1)"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert message(tmp_path, text) == told


def test_further_columns_where_they_are_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "a\n3\n1 2 3\n1 .5x\n1 2 face\n")
    assert read_records(path, COLUMNS, "test file", more=True)[0].rows.tolist() == [[1, 2], [1, 0.5], [1, 2]]
    with pytest.raises(DataError, match="line 3: malformed line"):
        read_records(write(tmp_path, "a\n1\n1x 2\n"), COLUMNS, "test file", more=True)


@pytest.mark.parametrize("score", ["0,9", "0x9", "1_0", "\u0663", "-1,5"])
def test_a_number_that_would_be_read_as_another_is_none(tmp_path: Path, score: str) -> None:
    for more in (False, True):
        with pytest.raises(DataError, match="line 3: malformed line"):
            read_records(write(tmp_path, f"a\n1\n1 {score}\n"), COLUMNS, "test file", more=more)


@pytest.mark.parametrize(
    ("text", "records", "left_out"),
    [
        ("a\n2\n1 2\n1 x\nb\n0\n", {"a": [[1, 2]], "b": []}, ["line 4: malformed line"]),
        ("a\n2\n1 nan\n1 2\n", {"a": [[1, 2]]}, ["line 3: score is not a finite number"]),
        ("a\ntwo\n1 2\n3 4\nb\n0\n", {"a": [[1, 2], [3, 4]], "b": []}, ["line 2: bad count"]),
        ("a\n-1\nb\n0\n", {"a": [], "b": []}, ["line 2: bad count"]),
        ("a\n1 2\nb\n0\n", {"a": [[1, 2]], "b": []}, ["line 2: bad count"]),
        ("a\nb\n1\n1 2\n", {"b": [[1, 2]]}, ["line 2: bad count"]),
        ("a\n1\n1 2\n3 4\nb\n0\n", {"a": [[1, 2]], "b": []}, ["line 4: numbers where a name should be"]),
        ("a\n3\n1 2\nb\n1\n3 4\n", {"a": [[1, 2]], "b": [[3, 4]]}, ["line 3: the next record begins inside"]),
        ("a\n3\n1 2\n", {"a": [[1, 2]]}, ["line 3: the file ends inside"]),
        ("a\n0\nb\n", {"a": []}, ["line 3: the file ends after a name"]),
        ("a\n999999999\n1 2\n", {"a": [[1, 2]]}, ["line 3: the file ends inside"]),
    ],
)
def test_wrong_lines_are_left_out_and_told(
    tmp_path: Path, text: str, records: dict[str, list[list[float]]], left_out: list[str]
) -> None:
    told: list[str] = []
    path = write(tmp_path, text)
    found = read_records(path, COLUMNS, "test file", left_out=told)
    assert {record.name: record.rows.tolist() for record in found} == records
    assert len(told) == len(left_out)
    assert all(line.startswith(f"{path}: {start}") for line, start in zip(told, left_out, strict=True))
    with pytest.raises(DataError) as caught:
        read_records(path, COLUMNS, "test file")
    assert caught.value.place is not None


def test_of_two_records_of_one_name_the_first_counts_where_the_other_is_left_out(tmp_path: Path) -> None:
    records = read_records(write(tmp_path, "a\n1\n1 2\na\n0\n"), COLUMNS, "test file")
    told: list[str] = []
    assert index_records(records, left_out=told)["a"] is records[0]
    assert len(told) == 1
    assert "line 4: a twice" in told[0]


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the test file"):
        read_records(tmp_path / "no.txt", COLUMNS, "test file")
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_records(path, COLUMNS, "test file")


def test_index_names_both_places_of_a_name(tmp_path: Path) -> None:
    records = read_records(write(tmp_path, "a\n0\nb\n0\na\n0\n"), COLUMNS, "test file")
    assert list(index_records(records[:2])) == ["a", "b"]
    with pytest.raises(DataError, match=r"line 5: a twice \(found also records.txt line 1\)"):
        index_records(records)


@given(
    st.dictionaries(
        st.text("abc/_.0123", min_size=1, max_size=8).filter(lambda name: name.strip()),
        st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, list[tuple[float, float]]]
) -> None:
    text = "".join(
        f"{name}\n{len(rows)}\n" + "".join(f"{a!r} {b!r}\n" for a, b in rows) for name, rows in content.items()
    )
    records = read_records(write(tmp_path_factory.mktemp("records"), text), COLUMNS, "test file")
    assert {record.name: record.rows.tolist() for record in records} == {
        name: np.array(rows).reshape(-1, 2).tolist() for name, rows in content.items()
    }
