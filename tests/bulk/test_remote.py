"""Stores through fsspec: ``file://`` is one that every machine has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bulk.pictures import write_pictures
from tinier_yolo.bulk import remote
from tinier_yolo.bulk.entries import Entry, Shard, check_arguments, located, read_entries
from tinier_yolo.bulk.shards import read_entry
from tinier_yolo.errors import MediaError, UsageError


def sources(*arguments: str) -> list[str]:
    return [entry.source for entry in located(Shard(0, tuple(read_entries(arguments)))).entries]


def test_pictures_folders_patterns_and_lists(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    write_pictures(tmp_path / "p", 3)
    (tmp_path / "p/n.txt").write_text("0.png\ns3://bucket/x.jpg\n")
    root = f"file://{tmp_path}/p"
    everything = [f"{root}/{number}.png" for number in range(3)]
    assert sources(f"{root}/") == sources(f"{root}/*.png") == everything
    assert sources(f"{root}/n.txt") == [f"{root}/0.png", "s3://bucket/x.jpg"]
    assert read_entry(Entry(f"{root}/1.png")).shape == (128, 130, 3)
    with pytest.raises(MediaError, match="cannot read from the store"):
        read_entry(Entry(f"{root}/gone.png"))
    with pytest.raises(MediaError, match="no files"):
        sources(f"{root}/*.gone")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("fsspec", "s3fs")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match="pip install fsspec s3fs"):
        check_arguments(["s3://bucket/list.txt"])


def test_which_addresses_go_through_it() -> None:
    assert remote.is_remote("s3://a/b.jpg")
    assert remote.is_remote("GS://a/b.jpg")
    for source in ("https://a/b.jpg", "zip://a.jpg::b.zip", "python://os", "a.jpg", "a/s3:/b.jpg"):
        assert not remote.is_remote(source)
