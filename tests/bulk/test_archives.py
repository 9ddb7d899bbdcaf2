from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tinier_yolo.bulk.archives import is_member, members, read_member
from tinier_yolo.errors import MediaError

FILES = {
    "b/x.jpg": b"first",
    "a.png": b"second" * 1000,
    "a::b.jpg": b"third",
    "n.txt": b"",
    "__MACOSX/a.png": b"",
    ".h.png": b"",
}
PICTURES = {name: FILES[name] for name in ("b/x.jpg", "a.png", "a::b.jpg")}


def counts(name: str) -> bool:
    return name.endswith((".jpg", ".png"))


def write(path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("b")
            for name, content in FILES.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_read_where_they_lie(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"p.{kind}")
    found = list(members(path, counts))
    assert [name for name, _ in found] == [f"{kind}://{name}::{path}" for name in PICTURES]
    assert all(is_member(name) for name, _ in found)
    assert [read_member(name, span) for name, span in found] == list(PICTURES.values())
    # By name alone, as in a user's list, and from another folder.
    assert [read_member(f"{kind}://{name}::p.{kind}", None, str(tmp_path)) for name in PICTURES] == list(
        PICTURES.values()
    )
    with pytest.raises(MediaError, match="no such member"):
        read_member(f"{kind}://gone.jpg::{path}")
    with pytest.raises(MediaError, match="No such file"):
        read_member(f"{kind}://a.png::{path}.gone")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_damage_is_told_of(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{kind}"
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(MediaError, match="cannot read the archive"):
        list(members(path, counts))
    with pytest.raises(MediaError, match="cannot read the member"):
        read_member(f"{kind}://a.png::{path}")


def test_a_member_with_flipped_bits_is_told_of(tmp_path: Path) -> None:
    path = write(tmp_path / "p.zip")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("a.png").header_offset
    data[start + 38] ^= 255
    path.write_bytes(data)
    with pytest.raises(MediaError, match="cannot read the member"):
        read_member(f"zip://a.png::{path}")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_read_to_the_limit(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinier_yolo.bulk.archives.MAX_BYTES", 100)
    path = write(tmp_path / f"p.{kind}")
    ((name, span),) = [found for found in members(path, counts) if "a.png" in found[0]]
    assert len(read_member(name, span)) == len(read_member(name)) == 101


def test_an_archive_without_pictures(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(MediaError, match="without images"):
        list(members(tmp_path / "p.zip", counts))
