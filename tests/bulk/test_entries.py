from __future__ import annotations

from pathlib import Path

import pytest

from tinier_yolo.bulk.entries import Entry, Shard, located, read_entries, shards, survey
from tinier_yolo.errors import DataError, MediaError, TinierYoloError, TinierYoloWarning, UsageError
from tinier_yolo.media.sources import expand


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"x")


def sources(*arguments: str, skip: str | None = None) -> list[str]:
    return [entry.source for entry in located(Shard(0, tuple(read_entries(arguments, skip)))).entries]


def test_the_order_and_the_names_are_those_of_plain_detection() -> None:
    touch("a.jpg", "a/b.jpg", "a/c/d.PNG", "a-b.jpg", "a/.hidden.jpg", ".h/x.jpg", "b.txt.jpg", "a/n.txt", "out/p.jpg")
    touch("z/1.jpg", "z/2.webp", "z/10.jpg")
    for arguments in (["."], ["a"], ["./a/"], ["a*"], ["z/*.jpg"], ["**/*.jpg"], ["a.jpg", "./z/1.jpg", "gone.jpg"]):
        assert sources(*arguments, skip="out") == [source.label for source in expand(arguments, "out").sources]


def test_a_list_is_found_as_darknet_does() -> None:
    touch("data/a.jpg", "b.jpg", "both.jpg", "data/both.jpg")
    Path("data/list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\n  b.jpg\ngone.jpg\rhttps://host/c.jpg\n\x1a\n")
    expected = ["data/a.jpg", "b.jpg", "data/gone.jpg", "https://host/c.jpg"]
    assert sources("data/list.txt") == expected
    Path("data/list.txt").write_text("both.jpg\n")
    with pytest.warns(TinierYoloWarning, match="beside the list"):
        assert sources("data/list.txt") == ["both.jpg"]


def test_survey_counts_and_tells_lists_apart() -> None:
    first = survey([Entry("a"), Entry("bc")], 2)
    assert first.images == 2
    assert first == survey([Entry("a"), Entry("bc", "folder")], 2)
    assert first != survey([Entry("ab"), Entry("c")], 2)
    with pytest.raises(DataError, match="no images"):
        survey([], 2)


def test_shards_are_taken_as_they_are_asked_for() -> None:
    taken = []

    def stream() -> list[Entry]:
        for number in range(10):
            taken.append(number)
            yield Entry(str(number))  # type: ignore[misc]

    counted = survey(stream(), 4)
    taken.clear()
    cut = shards(stream(), 4, counted)
    assert next(cut) == Shard(0, tuple(Entry(str(number)) for number in range(4)))
    assert taken == [0, 1, 2, 3]
    assert [len(shard.entries) for shard in cut] == [4, 2]


def test_a_list_that_changes_is_told_of() -> None:
    counted = survey(map(Entry, "abcde"), 2)
    for changed, before in (("abxcde", 1), ("abcd", 2), ("abcdx", 2), ("abcdef", 2), ("xabcde", 0), ("bcde", 0)):
        given: list[Shard] = []
        with pytest.raises(DataError, match="has changed"):
            given.extend(shards(map(Entry, changed), 2, counted))
        assert len(given) == before
        assert [entry.source for shard in given for entry in shard.entries] == list("abcde"[: 2 * before])


@pytest.mark.parametrize("argument", ["-", "0", "x.streams", "photos.tar.gz", "photos.TGZ"])
def test_what_is_no_picture_is_refused(argument: str) -> None:
    touch("x.streams", "photos.tar.gz", "photos.TGZ")
    with pytest.raises(UsageError):
        list(read_entries([argument]))


@pytest.mark.parametrize(
    ("argument", "told"),
    [("empty", "without images"), ("x*.jpg", "fits the pattern"), ("n.txt", "cannot read the image list")],
)
def test_what_stands_for_nothing_is_told_of(argument: str, told: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(TinierYoloError, match=told) as error:
        list(read_entries([argument]))
    assert isinstance(error.value, MediaError | DataError)


def test_a_loop_of_links_is_not_followed() -> None:
    touch("a/b.jpg")
    Path("a/up").symlink_to("..")
    assert sources("a") == ["a/b.jpg"]
