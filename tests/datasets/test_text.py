from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinier_yolo.datasets import text
from tinier_yolo.datasets.text import read_lines, read_text, stream_lines
from tinier_yolo.errors import DataError


def test_line_ends_of_any_kind_and_numbers_that_count_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffa\r\n\r\n \t\n b c \rd\x85e\u2028f\x0cg\n".encode())
    # What Python's splitlines would take for line ends are characters of a name.
    assert read_lines(path, "list") == [(1, "a"), (4, "b c"), (5, "d\x85e\u2028f\x0cg")]


@pytest.mark.parametrize("end", ["\x1a", "\x1a\n", "\r\n\x1a\r\n\r\n", "\x1a\x1a"])
def test_the_dos_end_of_file_character(tmp_path: Path, end: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(f"a\r\nb{end}".encode())
    assert read_lines(path, "list") == [(1, "a"), (2, "b")]
    path.write_text("a\x1ab\n")
    assert read_text(path, "list") == "a\x1ab\n"


def test_a_nul_byte_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a\r\nb\0c\n")
    with pytest.raises(DataError, match=r"list\.txt: line 2: a NUL byte in the list"):
        read_text(path, "list")


def test_a_file_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_BYTES", 10)
    path = tmp_path / "list.txt"
    path.write_bytes(b"x" * 10)
    assert read_text(path, "list") == "x" * 10
    path.write_bytes(b"x" * 11)
    with pytest.raises(DataError, match="too large for a list"):
        read_text(path, "list")


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a\xe9\n")
    with pytest.raises(DataError, match=r"byte 1: the list is not UTF-8 text"):
        read_text(path, "list")
    assert read_text(path, "list", "surrogateescape") == "a\udce9\n"


@settings(deadline=None)
@given(st.text("ab \t\r\n\x1a\x85\u2028\x0c\ufeff", max_size=20))
def test_a_stream_gives_the_lines_of_the_whole(content: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list.txt")
        path.write_bytes(content.encode())
        assert list(stream_lines(path, "list")) == read_lines(path, "list")


def test_a_stream_names_the_line_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_LINE", 10)
    path = tmp_path / "list.txt"
    for content, told in [
        (b"a\r\nb\0c\n", r"line 2: a NUL byte in the list"),
        (b"a\n" + b"x" * 11, r"line 2: a line too long for a list"),
        (b"a\xe9\n", r"line 1: the list is not UTF-8 text"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"list\.txt: " + told):
            list(stream_lines(path, "list"))
    with pytest.raises(DataError, match="cannot read the list"):
        list(stream_lines(tmp_path / "gone.txt", "list"))
