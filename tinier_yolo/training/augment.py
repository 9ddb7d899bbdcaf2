"""Augmentation: one random geometry, one random colour distortion, boxes carried along.

Darknet's (scale and aspect jitter, placement, flip, hue/saturation/exposure) and one more, small-face crops: now and
then a face of the image is picked and the whole is scaled so that this face gets a random height, from tiny to a good
part of the input (data-anchor-sampling, Tang et al. 2018, PyramidBox).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tinier_yolo.darknet.network import NetOptions
from tinier_yolo.detection.letterbox import PADDING

#: Faces lower than this many input pixels are too small to be asked for: they become "ignored".
MIN_FACE = 6.0
#: A box of which less than this part is left inside the input becomes "ignored"; its rest is no background.
MIN_VISIBLE = 0.45


@dataclass(frozen=True)
class Augmentation:
    """How far to go. Darknet's names where it has one.

    Attributes:
        jitter: the scale varies from 1 - jitter to 1 + 2 jitter, the aspect ratio by 1 +- jitter / 2.
        hue: in parts of the colour circle.
        saturation: factor, drawn from 1/saturation..saturation.
        exposure: the same for brightness.
        flip: mirror every other image.
        small_faces: the share of images that are scaled by one of their faces.
        grey: the share of images that lose their colour.
    """

    jitter: float = 0.3
    hue: float = 0.1
    saturation: float = 1.5
    exposure: float = 1.5
    flip: bool = True
    small_faces: float = 0.35
    grey: float = 0.1

    @classmethod
    def of(cls, options: NetOptions, jitter: float) -> Augmentation:
        """What [net] and [region] of a cfg say."""
        return cls(jitter, options.hue, max(1.0, options.saturation), max(1.0, options.exposure), options.flip)


@dataclass(frozen=True, eq=False)
class Example:
    """A training example: uint8 image (height, width, 3) and boxes relative to it, float32 (n, 4) cx cy w h."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    ignored: NDArray[np.float32]


def augment(example: Example, size: tuple[int, int], how: Augmentation, rng: Generator) -> Example:
    """A random view of an example on an input of ``size`` (width, height). All chance comes from ``rng``."""
    matrix = _random_transform(example, size, how, rng)
    # The matrix is for edges (x runs from 0 to the width), OpenCV's for pixel centres, half a pixel further.
    centres = matrix.copy()
    centres[:, 2] += 0.5 * (matrix[[0, 1], [0, 1]] - 1)
    image = cv2.warpAffine(
        example.image, centres, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(PADDING,) * 3
    )
    return place(example, distort(np.asarray(image, np.uint8), how, rng), matrix)


def place(example: Example, image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> Example:
    """The example with ``image`` in place of its own, to which ``matrix`` (2, 3; pixels to pixels) has led."""
    height, width = example.image.shape[:2]
    boxes, visible = _move(example.boxes, (width, height), image.shape[1::-1], matrix)
    ignored, ignored_visible = _move(example.ignored, (width, height), image.shape[1::-1], matrix)
    keep = (visible >= MIN_VISIBLE) & (boxes[:, 3] * image.shape[0] >= MIN_FACE)
    rest = np.concatenate([boxes[~keep & (visible > 0)], ignored[ignored_visible > 0]])
    return Example(image, boxes[keep], example.class_ids[keep], rest)


def _random_transform(
    example: Example, size: tuple[int, int], how: Augmentation, rng: Generator
) -> NDArray[np.float64]:
    height, width = example.image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    anchor = None
    if len(example.boxes) and rng.random() < how.small_faces:
        anchor = example.boxes[rng.integers(len(example.boxes))]
        wanted = np.exp(rng.uniform(np.log(3 * MIN_FACE), np.log(0.9 * size[1])))
        scale *= float(np.clip(wanted / (anchor[3] * height * scale), 0.6, 4.0))
    else:
        scale *= float(np.exp(rng.uniform(np.log(1 - how.jitter), np.log(1 + 2 * how.jitter))))
    aspect = np.sqrt(rng.uniform(1 - how.jitter / 2, 1 + how.jitter / 2))
    scales = np.array([scale * aspect, scale / aspect])
    shift = _random_shift(np.array([width, height]) * scales, np.array(size), anchor, rng)
    matrix = np.array([[scales[0], 0, shift[0]], [0, scales[1], shift[1]]])
    if how.flip and rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size[0]
    return matrix


def _random_shift(
    image: NDArray[np.float64], size: NDArray[np.int_], anchor: NDArray[np.float32] | None, rng: Generator
) -> NDArray[np.float64]:
    # Where the image is smaller than the input it lies anywhere inside; where it is larger, the input does, and holds
    # the face that the scale was chosen for.
    low, high = np.minimum(0, size - image), np.maximum(0, size - image)
    if anchor is not None:
        first, last = anchor[:2] - anchor[2:] / 2, anchor[:2] + anchor[2:] / 2
        low = np.maximum(low, np.minimum(-first * image, high))
        high = np.maximum(low, np.minimum(high, size - last * image))
    return np.asarray(low + rng.random(2) * (high - low))


def distort(image: NDArray[np.uint8], how: Augmentation, rng: Generator) -> NDArray[np.uint8]:
    """Random hue, saturation and exposure (uint8 RGB in, the same out), now and then none of the colour."""
    if rng.random() < how.grey:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    hue = rng.uniform(-how.hue, how.hue) * 180
    saturation, exposure = (np.exp(rng.uniform(-np.log(f), np.log(f))) for f in (how.saturation, how.exposure))
    hsv = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    values = np.arange(256)
    tables = ((values + hue) % 180, values * saturation, values * exposure)
    hsv = [cv2.LUT(plane, np.clip(table, 0, 255).astype(np.uint8)) for plane, table in zip(hsv, tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(hsv), cv2.COLOR_HSV2RGB), np.uint8)


def _move(
    boxes: NDArray[np.float32], old: tuple[int, int], new: tuple[int, ...], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Relative boxes on the old image -> on the new one, cut at its border, and the part of each that is left."""
    if not len(boxes):
        return boxes, np.zeros(0)
    centre = boxes[:, :2] * old * matrix[[0, 1], [0, 1]] + matrix[:, 2]
    half = boxes[:, 2:] * old * np.abs(matrix[[0, 1], [0, 1]]) / 2
    low, high = np.clip(centre - half, 0, new), np.clip(centre + half, 0, new)
    visible = np.prod(high - low, 1) / np.prod(2 * half, 1)
    moved = np.concatenate([(low + high) / 2 / new, (high - low) / new], 1)
    return moved.astype(np.float32), visible
