"""The way from an image to the network's input, and back for boxes.

The policy is the network's ``letter_box`` option, which an .ifq stores with its cfg: 1 keeps the aspect ratio and
centres the image on grey (Darknet's ``letterbox_image``), 0 stretches it to the input. Training, detection and
evaluation use this module and nothing else.

Coordinates are those of edges, not of pixel centres: x runs from 0 at the left edge of the first pixel to the width at
the right edge of the last one. ``cv2.resize`` aligns edges too, so that a coordinate is scaled by the ratio of the
sizes and nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: The grey around a letterboxed image: Darknet's 0.5, which as a byte is 127.5, rounded up.
PADDING = 128


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies on a network's input. All sizes and offsets are (width, height) or (x, y) in pixels.

    Attributes:
        image_size: the image.
        network_size: the network's input.
        resized: the image after resizing.
        offset: its upper left corner on the input.
    """

    image_size: tuple[int, int]
    network_size: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def fit(cls, image_size: tuple[int, int], network_size: tuple[int, int], letter_box: bool = True) -> Letterbox:
        """Place an image of (width, height) on an input of (width, height).

        Args:
            image_size: the image's size, both sides at least 1.
            network_size: the input's size, both sides at least 1.
            letter_box: keep the aspect ratio and centre; otherwise stretch to the whole input.
        """
        resized = _fit_inside(image_size, network_size) if letter_box else network_size
        offset = ((network_size[0] - resized[0]) // 2, (network_size[1] - resized[1]) // 2)
        return cls(image_size, network_size, resized, offset)

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels an image pixel, in x and y (they differ a little even in a letterbox: sizes are whole)."""
        return self.resized[0] / self.image_size[0], self.resized[1] / self.image_size[1]

    def apply(self, image: NDArray[np.uint8], canvas: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """The network's input for an image.

        Args:
            image: uint8 (height, width, 3) of ``image_size``.
            canvas: uint8 (network height, network width, 3), contiguous, to be overwritten and returned; a new one
                if None.
        """
        width, height = self.resized
        left, top = self.offset
        if canvas is None:
            canvas = np.empty((self.network_size[1], self.network_size[0], 3), np.uint8)
        for border in (canvas[:top], canvas[top + height :], canvas[:, :left], canvas[:, left + width :]):
            border[...] = PADDING
        inside = canvas[top : top + height, left : left + width]
        if self.resized == self.image_size:
            inside[...] = image
        else:
            cv2.resize(np.ascontiguousarray(image), self.resized, dst=inside, interpolation=cv2.INTER_LINEAR)
        return canvas

    def to_network(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes (n, 4), xyxy in pixels of the image -> the same in pixels of the input, float64. Nothing is clipped."""
        return np.asarray(boxes, np.float64) * (self.scale * 2) + self.offset * 2

    def to_image(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """The inverse of :meth:`to_network`."""
        return (np.asarray(boxes, np.float64) - self.offset * 2) / (self.scale * 2)


def _fit_inside(image_size: tuple[int, int], network_size: tuple[int, int]) -> tuple[int, int]:
    # As letterbox_image does it, in whole numbers: the tighter side fills the input, the other one is cut down to a
    # whole pixel. A line of one pixel stays one.
    (width, height), (network_width, network_height) = image_size, network_size
    if network_width * height < network_height * width:
        return network_width, max(1, height * network_width // width)
    return max(1, width * network_height // height), network_height
