"""Reading a benchmark's images and writing pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import MediaError, PathLike
from tinier_yolo.files import atomic_write

# The annotations lie on the stored pixels, so an EXIF orientation is ignored here, unlike for a user's photographs.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_rgb(path: PathLike) -> NDArray[np.uint8]:
    """An image as uint8 (height, width, 3), RGB, EXIF orientation ignored.

    Raises:
        MediaError: the file cannot be read or is no image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MediaError("cannot read the image", path=path, found=error.strerror) from error
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED) if data else None
    except cv2.error as error:
        raise MediaError("not an image", path=path, found=str(error)[:80]) from error
    if image is None:
        raise MediaError("not an image, or a damaged one", path=path, found=f"{len(data)} bytes")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def write_picture(path: PathLike, rgb: NDArray[np.uint8]) -> None:
    """Write uint8 (height, width, 3), RGB, in the format that the file's name ends in.

    Raises:
        MediaError: no such format, or the file cannot be written.
    """
    try:
        fine, data = cv2.imencode(Path(path).suffix or ".", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise MediaError("no format for pictures", path=path, expected=".png or .jpg") from error
    if not fine:
        raise MediaError("cannot encode the picture", path=path)
    with atomic_write(path, durable=False) as file:
        file.write(data.tobytes())
