from __future__ import annotations

from pathlib import Path

import pytest

from tinier_yolo.errors import OutputError
from tinier_yolo.files import atomic_write
from tinier_yolo.output_folder import OutputFolder, inside


def test_the_second_file_of_a_name_gets_a_number(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    names = ("a.jpg", "a-2.jpg", "a.png", "A.jpg", "b/a.jpg", "a", "v1.2.jpg")
    assert [output.claim(name, ".jpg") for name in names] == ["a", "a-2", "a-3", "A-4", "b/a", "a-5", "v1.2"]
    assert output.path("b/a", ".txt") == tmp_path / "b" / "a.txt"


#: Names that lead elsewhere, or to the folder itself; "...mp4" has the stem "..".
HOSTILE = [
    "../../etc/x.jpg",
    "/etc/x.jpg",
    "a/../etc/x.jpg",
    "//etc/x",
    "..",
    "",
    ".",
    "...mp4",
    "..jpg",
    "a\0/x.jpg",
    "/",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    stem = output.claim(name, ".jpg")
    for path in (output.path(stem, ".jpg"), inside(tmp_path, name), inside(tmp_path, f"{stem}/000001", ".txt")):
        assert path.resolve() != tmp_path
        assert path.resolve().is_relative_to(tmp_path)
        assert "\0" not in str(path)
        assert not stem.startswith("/")


def test_a_harmless_name_stays_as_it_is(tmp_path: Path) -> None:
    assert inside(tmp_path, "0--Parade/v1.2 é.b", ".txt") == tmp_path / "0--Parade/v1.2 é.b.txt"
    assert inside(tmp_path, "a" * 251, ".txt").name == "a" * 251 + ".txt"


@pytest.mark.parametrize("letter", ["a", "é", "顔"])
@pytest.mark.parametrize("count", [243, 251, 252, 255, 300])
def test_long_names_are_cut_and_stay_apart(letter: str, count: int, tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    name = letter * (count // len(letter.encode()))
    stems = [output.claim(f"{name}{end}/{name}{end}.jpg", ".jpg", ".txt") for end in ("", "1", "2", "", "")]
    assert len(set(stems)) == 5
    for stem in stems:
        with atomic_write(output.path(stem, ".jpg")) as file:
            file.write(b"x")
    assert len(list(tmp_path.rglob("*.jpg"))) == 5
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_reserved_name_is_no_source_s(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, reserved=["classes"])
    names = ["classes.jpg", "a/Classes.png", "classes/b.jpg"]
    assert [output.claim(name, ".txt") for name in names] == ["classes-2", "a/Classes-2", "classes/b"]


def test_naming_many_files_of_one_name_looks_at_each_name_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, looks = OutputFolder(tmp_path), []
    is_free = OutputFolder._is_free
    monkeypatch.setattr(OutputFolder, "_is_free", lambda *given: looks.append(1) or is_free(*given))
    assert [output.claim("face.jpg", ".jpg") for _ in range(300)][-1] == "face-300"
    assert len(looks) < 700


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, [tmp_path / "x" / ".." / "a.jpg", tmp_path / "list.txt"])
    assert output.claim("a.jpg", ".jpg", ".txt") == "a-2"
    assert output.claim("list.jpg", ".jpg", ".txt") == "list-2"
    assert output.claim("b.jpg", ".jpg", ".txt") == "b"


def test_frames_of_a_video_and_images_share_no_name(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    assert output.claim("a.mp4", ".mp4", folder=True) == "a"
    assert output.claim("A/000000.jpg", ".txt") == "A/000000-2"
    assert output.claim("a/x.jpg", ".txt") == "a/x"
    assert output.claim("b/000003.jpg", ".txt") == "b/000003"
    assert output.claim("b.mp4", ".mp4", folder=True) == "b-2"


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
