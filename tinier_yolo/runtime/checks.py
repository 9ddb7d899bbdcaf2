"""What every engine asks of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import UsageError

Bytes = NDArray[np.uint8]


def checked_image(image: Bytes, channels: int) -> Bytes:
    """The image, contiguous and writable: the kernels are compiled for one kind of array.

    Raises:
        UsageError: it is not uint8 (height, width, channels).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels:
        raise UsageError(
            "not an image for this network",
            expected=f"uint8 (height, width, {channels})",
            found=f"{image.dtype} {image.shape}",
        )
    return np.require(image, requirements=("C", "W"))
