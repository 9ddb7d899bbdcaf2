"""An image -> the input of a classifier, as Darknet's ``validate_classifier_single`` makes it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def centre_crop(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The largest middle part of an image that has the input's aspect ratio, scaled to the input.

    Args:
        image: uint8 (height, width, 3).
        size: (width, height) of the input.

    Returns:
        uint8 (height, width, 3) of that size; the image itself where it has it already.
    """
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(width / size[0], height / size[1])
    part = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    left, top = (width - part[0]) // 2, (height - part[1]) // 2
    middle = image[top : top + part[1], left : left + part[0]]
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, size, interpolation=how), np.uint8)
