from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, OutputError, TinierYoloWarning
from tinier_yolo.media import images
from tinier_yolo.media.images import read_image, write_image

Picture = NDArray[np.uint8]


def corners() -> Picture:
    """40x60 (width 60): red, green, blue and white quarters."""
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:20, :30], rgb[:20, 30:], rgb[20:, :30], rgb[20:, 30:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    return rgb


def jpeg_with_orientation(rgb: Picture, orientation: int) -> bytes:
    """A JPEG with an EXIF segment of one entry: tag 0x0112, a short."""
    ok, data = cv2.imencode(".jpg", rgb[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 100))
    assert ok
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return data.tobytes()[:2] + segment + data.tobytes()[2:]


#: What a viewer does to the stored pixels for each orientation.
UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
    8: lambda image: image.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured_or_ignored(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_with_orientation(corners(), orientation))
    assert np.abs(read_image(path).astype(int) - UPRIGHT[orientation](corners())).mean() < 5
    assert np.abs(read_image(path, upright=False).astype(int) - corners()).mean() < 5


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_what_is_written_is_read_back(suffix: str, tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    write_image(tmp_path / "folder" / f"picture{suffix}", rgb)
    np.testing.assert_array_equal(read_image(tmp_path / "folder" / f"picture{suffix}"), rgb)


def test_the_channels_are_red_green_blue(tmp_path: Path) -> None:
    write_image(tmp_path / "corners.jpg", corners())
    assert read_image(tmp_path / "corners.jpg")[5, 5].tolist() == pytest.approx([255, 0, 0], abs=8)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.full((4, 5), 77, np.uint8), 77),
        (np.full((4, 5), 77 * 257, np.uint16), 77),
        (np.full((4, 5, 3), 77 * 257, np.uint16), 77),
        (np.full((4, 5, 4), 77, np.uint8), 77),
        (np.dstack((np.full((4, 5, 3), 77, np.uint8), np.zeros((4, 5), np.uint8))), 77),
    ],
    ids=["grey", "grey of 16 bits", "colour of 16 bits", "alpha", "transparent"],
)
def test_other_kinds_of_png_become_rgb(stored: NDArray[np.generic], expected: int, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(cv2.imencode(".png", stored)[1].tobytes())
    rgb = read_image(path)
    assert rgb.shape == (4, 5, 3)
    assert rgb.dtype == np.uint8
    assert (rgb == expected).all()


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"\0\0\1")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", bytes([10, 20, 30, 200, 100, 0]))
    (tmp_path / "palette.png").write_bytes(data + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    assert read_image(tmp_path / "palette.png").tolist() == [[[10, 20, 30], [200, 100, 0]]]


def valid(suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, corners())[1].tobytes()


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("empty.jpg", b"", "an empty file"),
        ("text.jpg", b"Dear reader,\nthis is no image.\n", "not an image .*found text"),
        ("noise.jpg", bytes(range(200, 250)), "not an image .*found bytes c8 c9"),
        ("half.jpg", valid()[: len(valid()) // 2], "a truncated JPEG"),
        ("head.jpg", valid()[:20], "a truncated JPEG"),
        ("half.png", valid(".png")[:100], "a truncated PNG"),
        ("half.webp", valid(".webp")[:30], "not an image"),
        ("half.bmp", valid(".bmp")[:1000], "not an image"),
        ("no-scan.jpg", b"\xff\xd8\xff\xd9" * 10, "a truncated JPEG"),
    ],
)
def test_bad_files_are_one_line(name: str, data: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MediaError, match=problem) as caught:
        read_image(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_odd_names_are_errors(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(MediaError, match="Is a directory"):
        read_image(tmp_path)
    with pytest.raises(MediaError, match="cannot read the image"):
        read_image("nul\0.jpg")


def test_bytes_after_a_jpeg_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "motion.jpg").write_bytes(valid() + b"a video follows" * 100)
    assert read_image(tmp_path / "motion.jpg").shape == (40, 60, 3)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(valid())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    (tmp_path / "bomb.jpg").write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(MediaError, match=r"too large \(expected at most \d+ pixels, found 65000x65000\)"):
        read_image(tmp_path / "bomb.jpg")


def test_large_files_and_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picture.webp").write_bytes(valid(".webp"))
    monkeypatch.setattr(images, "MAX_PIXELS", 60 * 40 - 1)
    with pytest.raises(MediaError, match=r"too large .*found 60x40"):
        read_image(tmp_path / "picture.webp")
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    with pytest.raises(MediaError, match="file is too large"):
        read_image(tmp_path / "picture.webp")


@pytest.mark.parametrize("name", ["picture.xyz", "picture", "picture.txt"])
def test_an_unknown_format_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot encode"):
        write_image(tmp_path / name, corners())
    assert not list(tmp_path.iterdir())


def test_a_picture_beyond_the_format_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot encode"):
        write_image(tmp_path / "wide.jpg", np.zeros((1, 70_000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def noise(progressive: bool) -> bytes:
    rgb = np.random.default_rng(1).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", rgb, (cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)))[1].tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tail", [b"", b"\0" * 20, b"\xff"])
def test_a_jpeg_without_its_end_is_read_with_a_warning(progressive: bool, tail: bytes, tmp_path: Path) -> None:
    whole = noise(progressive)
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "cut.jpg").write_bytes(whole[:-2] + tail)
    with pytest.warns(TinierYoloWarning, match="cut.jpg: the JPEG lacks its end-of-image marker"):
        found = read_image(tmp_path / "cut.jpg")
    assert np.array_equal(found, read_image(tmp_path / "whole.jpg"))


@pytest.mark.parametrize("missing", [12, 100, 1000])
def test_a_jpeg_that_lacks_pixels_is_refused(missing: int, tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(noise(progressive=False)[:-missing])
    with pytest.raises(MediaError, match="a truncated JPEG: pixels are missing"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("suffix", [".webp", ".tiff", ".jp2", ".bmp", ".ppm", ".gif", ".avif"])
def test_a_bomb_of_any_format_is_refused_before_it_is_decoded(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        data = cv2.imencode(suffix, corners())[1].tobytes()
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {suffix}")
    (tmp_path / "bomb").write_bytes(data)
    monkeypatch.setattr(images, "MAX_PIXELS", 60 * 40 - 1)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(MediaError, match=r"too large .*found 60x40"):
        read_image(tmp_path / "bomb")


def test_an_image_comes_from_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(valid(".png"))))
    assert np.array_equal(read_image("-"), corners()[..., ::-1])


@pytest.mark.parametrize("size", [1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "x").write_bytes(data)
    assert images.read_bytes(tmp_path / "x") == data
