from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from tinier_yolo.errors import OutputError
from tinier_yolo.files import atomic_write, grant_default_permissions


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "new" / "a.bin") as file:
        file.write(b"x")
        assert not (tmp_path / "new" / "a.bin").exists()
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"x"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new" / "a.bin", tmp_path / "plain")]
    assert modes[0] == modes[1]


def test_an_error_in_the_body_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def write_half() -> None:
        with atomic_write(tmp_path / "a", "w") as file:
            file.write("new")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), atomic_write(tmp_path / "file" / "a"):
        pass
    (tmp_path / "folder" / "a").mkdir(parents=True)
    with (
        pytest.raises(OutputError, match=r"folder: cannot write"),
        atomic_write(tmp_path / "folder"),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_name_that_is_no_utf8_is_written_as_an_escape(tmp_path: Path) -> None:
    name = os.fsdecode(b"m\xff.ifq")
    with atomic_write(tmp_path / "a.json", "w") as file:
        json.dump({"model": name}, file, ensure_ascii=False)
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"model": name}


def test_the_mask_stays_whatever_threads_write(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        threads = [threading.Thread(target=write_many, args=(tmp_path / str(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)


def write_many(path: Path) -> None:
    path.touch()
    for _ in range(2000):
        grant_default_permissions(path)


@pytest.mark.parametrize("name", ["a" * 243, "a" * 255, "é" * 127, b"\xff".decode("utf-8", "surrogateescape") * 255])
def test_names_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as file:
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]
