from __future__ import annotations

import functools
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinier_yolo.errors import MediaError
from tinier_yolo.media.headers import read_header


def image_size(data: bytes, path: str) -> tuple[int, int] | None:
    header = read_header(data, path)
    return header.size if header else None


NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encode(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, NOISE, options)[1].tobytes()


BASELINE = encode(".jpg")
PROGRESSIVE = encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = encode(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
PNG = encode(".png")


#: Formats that OpenCV writes, but for JPEG and PNG; floating point for the last two.
FORMATS = [".bmp", ".gif", ".webp", ".tiff", ".jp2", ".avif", ".ppm", ".pgm", ".pbm", ".pam", ".ras", ".hdr", ".pfm"]


@functools.cache
def encode_any(suffix: str) -> bytes:
    picture = NOISE[..., 0] if suffix in (".pgm", ".pbm") else NOISE
    try:
        return cv2.imencode(suffix, picture.astype(np.float32) if suffix in (".hdr", ".pfm") else picture)[1].tobytes()
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {suffix}")


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE, RESTARTS, PNG])
def test_the_size_is_read(data: bytes) -> None:
    assert image_size(data, "x") == (60, 40)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_size_is_read_in_every_format(suffix: str) -> None:
    assert image_size(encode_any(suffix), "x") == (60, 40)


def test_old_bitmaps_and_other_kinds_of_webp_have_a_size() -> None:
    assert image_size(b"BM" + bytes(12) + struct.pack("<IHH", 12, 60, 40), "x") == (60, 40)
    lossy = cv2.imencode(".webp", NOISE, (cv2.IMWRITE_WEBP_QUALITY, 50))[1].tobytes()
    assert lossy[12:16] == b"VP8 "
    assert image_size(lossy, "x") == (60, 40)
    extended = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + bytes([59, 0, 0, 39, 0, 0])
    assert image_size(extended, "x") == (60, 40)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_either_order_or_size_has_a_size(order: str) -> None:
    mark = b"II" if order == "<" else b"MM"
    tags = [(256, 4, 1, 60), (257, 4, 1, 40), (322, 4, 1, 100_000)]
    small = mark + struct.pack(f"{order}HIH", 42, 8, 3)
    small += b"".join(struct.pack(f"{order}HHII", *tag) for tag in tags)
    big = mark + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, 3)
    big += b"".join(struct.pack(f"{order}HHQII", *tag, 0) for tag in tags)
    # A tile that is wider than the image counts: it is decoded whole.
    assert [image_size(data, "x") for data in (small, big)] == [(100_000, 40)] * 2


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=30)
@given(st.data())
def test_a_damaged_header_gives_a_size_or_an_error_of_ours(suffix: str, data: st.DataObject) -> None:
    whole = bytearray(encode_any(suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole), 400) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MediaError):
        read_header(bytes(whole[: data.draw(st.integers(1, len(whole)))]), "x")


def test_too_many_tiles_or_components_are_refused() -> None:
    whole = cv2.imencode(".jp2", NOISE)[1].tobytes()
    start = whole.index(b"\xff\x4f\xff\x51") + 8
    for place, value in ((start + 16, struct.pack(">II", 0, 1)), (start + 32, struct.pack(">H", 16_384))):
        data = bytearray(whole)
        data[place : place + len(value)] = value
        with pytest.raises(MediaError, match="a damaged JPEG 2000 file: its header gives no size"):
            read_header(bytes(data), "x")


def test_what_opencv_does_not_read_has_no_header() -> None:
    for data in (b"hello", b"", b"\xff\x0a jpeg xl"):
        assert read_header(data, "x") is None
    with pytest.raises(MediaError, match="a damaged BMP"):
        read_header(b"BM", "x")
    for brand in (b"heic", b"mif1", b"hevc"):
        with pytest.raises(MediaError, match="x: a HEIC picture, which OpenCV does not read"):
            read_header(b"\0\0\0\x18ftyp" + brand + bytes(100), "x")


def test_endless_scans_are_refused() -> None:
    scan = PROGRESSIVE.index(b"\xff\xda")
    end = PROGRESSIVE.index(b"\xff", scan + 20)
    with pytest.raises(MediaError, match="too many scans"):
        read_header(PROGRESSIVE[:scan] + PROGRESSIVE[scan:end] * 300 + PROGRESSIVE[end:], "x")


@given(st.integers(3, 5000))
def test_every_truncation_of_a_jpeg_is_found(length: int) -> None:
    for data in (BASELINE, PROGRESSIVE, RESTARTS):
        header, problem = None, ""
        try:
            header = read_header(data[: min(length, len(data) - 1)], "x")
        except MediaError as error:
            problem = str(error)
        assert problem.startswith("x: a truncated JPEG") if header is None else not header.whole


@given(st.integers(8, 5000))
def test_every_truncation_of_a_png_is_found(length: int) -> None:
    with pytest.raises(MediaError, match="x: a truncated PNG"):
        image_size(PNG[: min(length, len(PNG) - 1)], "x")


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE, PNG])
@pytest.mark.parametrize("tail", [b"\0" * 100, b"garbage", b"\xff\xd8\xff\xe1", b"\xff"])
def test_bytes_after_the_end_are_accepted(data: bytes, tail: bytes) -> None:
    assert image_size(data + tail, "x") == (60, 40)


def test_the_end_marker_of_a_preview_is_not_the_end() -> None:
    # A whole JPEG in an application segment, as cameras put their previews there.
    segment = b"\xff\xe1" + struct.pack(">H", len(BASELINE) + 2) + BASELINE
    data = BASELINE[:2] + segment + BASELINE[2:]
    assert image_size(data, "x") == (60, 40)
    header = read_header(data[: len(segment) + 1000], "x")
    assert header is not None
    assert not header.whole


@pytest.mark.parametrize("position", [20, 100, len(PNG) - 20])
def test_a_flipped_bit_of_a_png_is_found(position: int) -> None:
    data = bytearray(PNG)
    data[position] ^= 1
    with pytest.raises(MediaError, match="damaged PNG"):
        image_size(bytes(data), "x")


def test_a_chunk_that_does_not_count_may_have_a_bad_checksum() -> None:
    text = struct.pack(">I", 4) + b"tEXt" + b"a\0bc" + struct.pack(">I", zlib.crc32(b"another"))
    assert image_size(PNG[:33] + text + PNG[33:], "x") == (60, 40)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"]))
def test_any_bytes_give_a_size_or_an_error_of_ours(data: bytes, magic: bytes) -> None:
    with suppress(MediaError):
        image_size(magic + data, "x")
