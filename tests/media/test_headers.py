from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.errors import MediaError
from tinier_yolo.media.headers import image_size

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encode(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, NOISE, options)[1].tobytes()


BASELINE = encode(".jpg")
PROGRESSIVE = encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = encode(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
PNG = encode(".png")


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE, RESTARTS, PNG, encode(".bmp")])
def test_the_size_is_read(data: bytes) -> None:
    assert image_size(data, "x") == (60, 40)


def test_formats_that_are_left_to_the_decoder_have_no_size() -> None:
    for data in (encode(".webp"), encode(".tiff"), b"hello", b"BM", b""):
        assert image_size(data, "x") is None


@given(st.integers(3, 5000))
def test_every_truncation_of_a_jpeg_is_found(length: int) -> None:
    for data in (BASELINE, PROGRESSIVE, RESTARTS):
        with pytest.raises(MediaError, match="x: a truncated JPEG"):
            image_size(data[: min(length, len(data) - 1)], "x")


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
    with pytest.raises(MediaError, match="truncated"):
        image_size(data[: len(segment) + 500], "x")


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
