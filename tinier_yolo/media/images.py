"""Image files <-> RGB uint8 arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, OutputError, PathLike
from tinier_yolo.files import atomic_write
from tinier_yolo.media.headers import image_size
from tinier_yolo.media.opencv import quiet

#: Limits of an image file: 134 million pixels are 400 MB once decoded.
MAX_BYTES = 1 << 28
MAX_PIXELS = 1 << 27


def read_image(path: PathLike, *, upright: bool = True) -> NDArray[np.uint8]:
    """Read an image file: JPEG, PNG, WebP, BMP, TIFF and what else OpenCV reads.

    Grey and palette images become RGB, 16 bits become 8, alpha is dropped, of an animation the first frame is taken.

    Args:
        path: the file.
        upright: turn the image as its EXIF orientation says. Benchmarks want False: their annotations were made on the
            pixels as they lie in the file.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        MediaError: the file is missing, empty, truncated, too large or not an image.
    """
    data = _read_bytes(path)
    size = image_size(data, path)
    if size is not None:
        _check_pixels(path, *size)
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with quiet():
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise MediaError("OpenCV cannot decode the image", path=path, found=error.err) from error
    if bgr is None:
        raise MediaError("not an image that OpenCV reads, or a damaged one", path=path, found=_first_bytes(data))
    _check_pixels(path, bgr.shape[1], bgr.shape[0])
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


def _read_bytes(path: PathLike) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise MediaError("cannot read the image", path=path, found=getattr(error, "strerror", None) or error) from error
    if not data:
        raise MediaError("an empty file, not an image", path=path)
    if len(data) > MAX_BYTES:
        raise MediaError("the image file is too large", path=path, expected=f"at most {MAX_BYTES} bytes")
    return data


def _check_pixels(path: PathLike, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            "the image is too large", path=path, expected=f"at most {MAX_PIXELS} pixels", found=f"{width}x{height}"
        )


def _first_bytes(data: bytes) -> str:
    head = data[:64]
    return "text" if head.isascii() and "".join(head.decode().split()).isprintable() else f"bytes {head[:8].hex(' ')}"
