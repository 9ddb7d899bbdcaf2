from __future__ import annotations

from pathlib import Path

import pytest

from tinier_yolo.media.sources import Source, expand


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.md",
        "deep/er/c.jpeg",
        "deep/clip.mp4",
        ".hidden.jpg",
        ".git/x.jpg",
        "out/b.jpg",
    ):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels(*arguments: str, skip: str | None = None) -> list[str]:
    sources, problems, _ = expand(arguments, skip)
    assert not problems
    return [source.label for source in sources]


def problem(*arguments: str) -> str:
    sources, (error,), _ = expand(arguments)
    assert not sources
    return str(error)


def test_a_folder_is_searched_in_order_without_hidden_files_and_the_output(tree: Path) -> None:
    expected = ["photos/a.PNG", "photos/b.jpg", "photos/deep/er/c.jpeg"]
    assert labels("photos", skip="photos/out") == expected
    assert labels("photos") == [*expected, "photos/out/b.jpg"]
    assert labels("photos/out", skip="photos/out") == ["photos/out/b.jpg"]


def test_names_are_relative_to_the_folder(tree: Path) -> None:
    sources, _, _ = expand([str(tree / "photos")])
    assert [source.name for source in sources] == ["a.PNG", "b.jpg", "deep/er/c.jpeg", "out/b.jpg"]


def test_patterns_stand_for_what_a_shell_makes_of_them(tree: Path) -> None:
    assert labels("photos/*.jpg") == ["photos/b.jpg"]
    assert labels("photos/[ab].*") == ["photos/a.PNG", "photos/b.jpg"]
    assert labels("photos/**/*.jp*g", skip="photos/out") == [
        "photos/b.jpg",
        "photos/deep/er/c.jpeg",
        "photos/out/b.jpg",
    ]
    assert labels("photos/de*") == ["photos/deep/er/c.jpeg"]
    assert labels("photos/d**/*") == ["photos/deep/clip.mp4", "photos/deep/er/c.jpeg"]


def test_a_match_that_stands_for_nothing_does_not_stop_the_others(tree: Path) -> None:
    Path("photos/b0").mkdir()
    found = expand(["photos/*"])
    assert "photos/deep/er/c.jpeg" in [source.label for source in found.sources]
    assert [problem.path for problem in found.problems] == ["photos/b0"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tree: Path) -> None:
    (tree / "a[1].jpg").touch()
    assert labels("a[1].jpg") == ["a[1].jpg"]


def test_kinds(tree: Path) -> None:
    (tree / "7").touch()
    sources, problems, _ = expand(["0", "12", "7", "photos/deep/clip.mp4", "photos/b.jpg", "photos/notes.md"])
    assert not problems
    assert [source.kind for source in sources] == ["camera", "camera", "image", "video", "image", "image"]
    assert sources[1] == Source("camera", "12", "camera-12")


def test_a_list_may_have_blank_lines_and_any_line_ends(tree: Path) -> None:
    (tree / "lists").mkdir()
    (tree / "lists" / "here.jpg").touch()
    text = "\ufeff../photos/b.jpg\r\n\r\n  here.jpg  \n\nphotos/a.PNG\r" + str(tree / "photos" / "deep" / "clip.mp4")
    (tree / "lists" / "list.txt").write_bytes(text.encode())
    sources, problems, _ = expand(["lists/list.txt"])
    assert not problems
    # relative to the list, then to the working folder, absolute
    assert [source.label for source in sources] == [
        "lists/../photos/b.jpg",
        "lists/here.jpg",
        "photos/a.PNG",
        str(tree / "photos" / "deep" / "clip.mp4"),
    ]
    assert [source.name for source in sources] == ["../photos/b.jpg", "here.jpg", "photos/a.PNG", "clip.mp4"]
    assert sources[-1].kind == "video"


def test_a_missing_entry_of_a_list_shows_when_it_is_read(tree: Path) -> None:
    (tree / "list.txt").write_text("photos/b.jpg\nphotos/gone.jpg\n")
    assert labels("list.txt") == ["photos/b.jpg", "photos/gone.jpg"]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("empty", "empty: a folder without images"),
        ("photos/*.gif", "photos/*.gif: no file fits the pattern"),
        ("missing.txt", "missing.txt: cannot read the image list"),
        ("blank.txt", "blank.txt: an image list without images"),
        ("binary.txt", "not UTF-8 text"),
        ("prose.txt", "prose.txt: line 1: none of the files of the list exists"),
        ("x" * 5000, "cannot look it up"),
    ],
)
def test_what_stands_for_nothing_is_a_problem(argument: str, expected: str, tree: Path) -> None:
    (tree / "blank.txt").write_text("\n\r\n \n")
    (tree / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (tree / "prose.txt").write_text("Dear reader,\nthis is a letter.\n")
    assert expected in problem(argument)


def test_problems_do_not_stop_the_others(tree: Path) -> None:
    sources, problems, _ = expand(["empty", "photos/b.jpg", "photos/*.gif"])
    assert [source.label for source in sources] == ["photos/b.jpg"]
    assert len(problems) == 2


def test_addresses_and_lists_of_streams(tree: Path) -> None:
    (tree / "all.streams").write_text("# the entrance\nrtsp://host/one\n\nhttp://host:8080/two.mjpg\n")
    sources, problems, _ = expand(["all.streams", "https://host/a/b.JPG?x=1", "rtsp://me:secret@host/3", "-"])
    assert not problems
    assert [source.kind for source in sources] == ["stream", "stream", "image", "stream", "image"]
    assert sources[0] == Source("stream", "rtsp://host/one", "host_one.mp4")
    assert sources[2].label == "https://host/a/b.JPG?x=1"
    assert sources[4] == Source("image", "-", "stdin")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("ftp://host/a.jpg", r"ftp://host/a.jpg: not an address that is read (expected rtsp://"),
        ("http:///a.jpg", "an address without a host"),
        ("http://[broken/a.jpg", "cannot look it up"),
        ("none.streams", "a list of streams without any"),
        ("s3\0.jpg", "cannot look it up"),
    ],
)
def test_bad_addresses_are_problems(argument: str, expected: str, tree: Path) -> None:
    (tree / "none.streams").write_text("# nothing\n")
    if "\0" not in argument:
        assert expected in problem(argument)


def test_files_are_known_by_their_content(tree: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(40)
    for name, data, kind in (
        ("picture", png, "image"),
        ("picture.mp4", png, "image"),
        ("film", b"\0\0\0\x18ftypisom" + bytes(40), "video"),
        ("film.jpg", b"\x1a\x45\xdf\xa3" + bytes(40), "video"),
        ("avif", b"\0\0\0\x18ftypavif" + bytes(40), "image"),
        ("raw", b"\0\0\0\x01\x67" + bytes(40), "video"),
        ("transport", (b"\x47" + bytes(187)) * 4, "video"),
        ("unknown", b"hello", "image"),
        ("unknown.264", b"hello", "video"),
    ):
        Path(name).write_bytes(data)
        sources, _, _ = expand([name])
        assert [source.kind for source in sources] == [kind], name
