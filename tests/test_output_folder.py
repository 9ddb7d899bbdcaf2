from __future__ import annotations

from pathlib import Path

import pytest

from tinier_yolo.errors import OutputError
from tinier_yolo.output_folder import OutputFolder


def test_the_second_file_of_a_name_gets_a_number(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    names = ("a.jpg", "a-2.jpg", "a.png", "A.jpg", "b/a.jpg", "a", "v1.2.jpg")
    assert [output.claim(name, ".jpg") for name in names] == ["a", "a-2", "a-3", "A-4", "b/a", "a-5", "v1.2"]
    assert output.path("b/a", ".txt") == tmp_path / "b" / "a.txt"


@pytest.mark.parametrize("name", ["../../etc/x.jpg", "/etc/x.jpg", "a/../etc/x.jpg"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    assert output.path(output.claim(name, ".jpg"), ".jpg").resolve().is_relative_to(tmp_path)


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, [tmp_path / "x" / ".." / "a.jpg", tmp_path / "list.txt"])
    assert output.claim("a.jpg", ".jpg", ".txt") == "a-2"
    assert output.claim("list.jpg", ".jpg", ".txt") == "list-2"
    assert output.claim("b.jpg", ".jpg", ".txt") == "b"


@pytest.mark.parametrize("folder", ["new", "new/deep/er", "."])
def test_the_check_leaves_nothing_behind(folder: str, tmp_path: Path) -> None:
    OutputFolder(tmp_path / folder).check()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_an_error(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write into the output folder"):
        OutputFolder(tmp_path / folder).check()


def test_a_folder_of_the_system_is_an_error() -> None:
    # /proc takes no files, not even root's.
    if not Path("/proc/self").exists():
        pytest.skip("no /proc")
    with pytest.raises(OutputError, match="/proc/out: cannot write into the output folder"):
        OutputFolder("/proc/out").check()
