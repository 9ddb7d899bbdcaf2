"""Image files <-> RGB uint8 arrays: the one place where the package reads images.

The rule of the EXIF orientation: an image is turned as it says, so that pixels, labels and boxes are those that a
viewer shows. The exception are benchmarks whose annotations were made on the pixels as they lie in the file (FDDB,
WIDER FACE): they read with ``upright=False``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, OutputError, PathLike, warn
from tinier_yolo.files import atomic_write
from tinier_yolo.media.addresses import download, is_address, shown
from tinier_yolo.media.headers import Header, read_header
from tinier_yolo.media.opencv import quiet

#: Limits of an image file: 134 million pixels are 400 MB once decoded.
MAX_BYTES = 1 << 28
MAX_PIXELS = 1 << 27
_FIRST_BYTES = 1 << 16
#: The name of the standard input.
STANDARD_INPUT = "-"
_JPEG_END = b"\xff\xd9"


def read_image(path: PathLike, *, upright: bool = True) -> NDArray[np.uint8]:
    """Read an image file: JPEG, PNG, WebP, BMP, TIFF, AVIF and what else OpenCV reads.

    Grey and palette images become RGB, 16 bits become 8, alpha is dropped, of an animation the first frame is taken. A
    JPEG that has all its pixels and lacks only its end is read with a warning.

    Args:
        path: the file; ``-`` is the standard input, ``http://`` and ``https://`` are addresses.
        upright: turn the image as its EXIF orientation says; False only for a benchmark of stored pixels.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        MediaError: the file is missing, empty, truncated, too large or not an image.
    """
    return decode_image(read_bytes(path), shown(os.fspath(path)), upright=upright)


def decode_image(data: bytes, path: PathLike, *, upright: bool = True) -> NDArray[np.uint8]:
    """The same of a file's bytes; ``path`` is what an error calls it."""
    header = read_header(data, path)
    if header is None:
        raise MediaError("not an image that OpenCV reads, or a damaged one", path=path, found=_first_bytes(data))
    _check_pixels(path, header)
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = _decode(data, flags, path) if header.whole else _decode_without_end(data, flags, path)
    if bgr is None:
        problem = f"not an image that OpenCV reads, or a damaged {header.format} file"
        raise MediaError(problem, path=path, found=_first_bytes(data))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def write_image(path: PathLike, rgb: NDArray[np.uint8]) -> None:
    """Write an image file of the format that the path's suffix names; the file is whole or not there.

    Args:
        path: the file; its folder is made.
        rgb: uint8 (height, width, 3).

    Raises:
        OutputError: OpenCV does not write that format or that size, or the file system refuses.
    """
    suffix = Path(path).suffix
    try:
        with quiet():
            encoded, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise OutputError("OpenCV cannot encode the picture", path=path, found=error.err) from error
    if not encoded:
        height, width = rgb.shape[:2]
        raise OutputError("OpenCV cannot encode the picture", path=path, found=f"{width}x{height} pixels as {suffix}")
    with atomic_write(path, durable=False) as file:
        file.write(data.tobytes())


def _decode(data: bytes, flags: int, path: PathLike) -> NDArray[np.uint8] | None:
    try:
        with quiet():
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise MediaError("OpenCV cannot decode the image", path=path, found=error.err) from error
    return None if bgr is None else np.asarray(bgr, np.uint8)


def _decode_without_end(data: bytes, flags: int, path: PathLike) -> NDArray[np.uint8] | None:
    # Are pixels missing, or the end alone? What follows the last pixel is skipped by the decoder; where pixels are
    # missing it would be taken for them.
    # The filler decodes to anything but what libjpeg makes up for missing pixels: without 0xFF, zeros or ones in a row.
    filler = bytes(np.random.default_rng(0).integers(1, 255, 4096, dtype=np.uint8))
    bgr, other = (_decode(data.rstrip(b"\xff") + end + _JPEG_END, flags, path) for end in (b"", filler))
    if bgr is None or other is None or not np.array_equal(bgr, other):
        found = f"the end of the file after {len(data)} bytes"
        raise MediaError("a truncated JPEG: pixels are missing", path=path, found=found)
    warn("the JPEG lacks its end-of-image marker; its pixels are all there", path=path)
    return bgr


def read_bytes(path: PathLike, name: str | None = None) -> bytes:
    """The bytes of an image file, of bounded number.

    Args:
        path: as of :func:`read_image`.
        name: what an error calls it, if not by its path.

    Raises:
        MediaError: the file is missing, empty or too large.
    """
    name = name or shown(os.fspath(path))
    if is_address(os.fspath(path)):
        return checked_bytes(download(os.fspath(path), MAX_BYTES), name)
    try:
        with sys.stdin.buffer if path == STANDARD_INPUT else open(path, "rb") as file:  # noqa: PTH123 (it is quicker)
            # At once it would make room for all that may come, which takes longer than to read a small file.
            data = file.read(_FIRST_BYTES)
            if len(data) == _FIRST_BYTES:
                data += file.read(MAX_BYTES + 1 - _FIRST_BYTES)
    except (OSError, ValueError) as error:
        raise MediaError("cannot read the image", path=name, found=getattr(error, "strerror", None) or error) from error
    return checked_bytes(data, name)


def checked_bytes(data: bytes, path: PathLike) -> bytes:
    """The bytes, if an image file may have that many.

    Raises:
        MediaError: there are none, or more than ``MAX_BYTES``.
    """
    if not data:
        raise MediaError("an empty file, not an image", path=path)
    if len(data) > MAX_BYTES:
        raise MediaError("the image file is too large", path=path, expected=f"at most {MAX_BYTES} bytes")
    return data


def _check_pixels(path: PathLike, header: Header) -> None:
    (width, height), most = header.size, MAX_PIXELS * 3 // header.pixel_bytes
    if width * height > most:
        raise MediaError(
            "the image is too large", path=path, expected=f"at most {most} pixels", found=f"{width}x{height}"
        )


def _first_bytes(data: bytes) -> str:
    head = data[:64]
    return "text" if head.isascii() and "".join(head.decode().split()).isprintable() else f"bytes {head[:8].hex(' ')}"
