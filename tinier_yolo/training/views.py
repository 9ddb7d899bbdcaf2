"""Views: which part of an image training looks at, how large and how turned. Chance and boxes, no pixels.

A detector learns the sizes of faces that it is shown. So most views are made around a face: its height in the input
is drawn first, the scale follows (data-anchor sampling, Tang et al. 2018, PyramidBox). The rest show whole scenes,
as detection will. Four views in one input make a mosaic (Bochkovskiy et al. 2020, YOLOv4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tinier_yolo.darknet.network import NetOptions

#: Faces lower than this many input pixels are too small to be asked for: they become "ignored".
MIN_FACE = 6.0
#: A box of which less than this part is left inside the input becomes "ignored"; its rest is no background.
MIN_VISIBLE = 0.45


@dataclass(frozen=True)
class Views:
    """How views are drawn.

    Attributes:
        scenes: the share of views that show the image as a whole, scaled by ``jitter``.
        smallest: the lowest face that a view is made around, in input pixels.
        largest: the highest, in parts of the input's height. Heights are spread evenly in their logarithm.
        shrink: how small a whole image may become, in parts of its letterboxed size.
        magnify: how many input pixels a pixel of the image may become at the most.
        jitter: Darknet's: a scene's scale varies from 1 - jitter to 1 + 2 jitter, any aspect ratio by 1 +- jitter / 2.
        rotate: the share of views that are turned.
        angle: by up to so many degrees, either way.
        mosaic: the share of inputs that are made of four views.
        flip: mirror every other view.
    """

    scenes: float = 0.2
    smallest: float = 12.0
    largest: float = 0.8
    shrink: float = 0.4
    magnify: float = 5.0
    jitter: float = 0.3
    rotate: float = 0.3
    angle: float = 20.0
    mosaic: float = 0.08
    flip: bool = True

    @classmethod
    def of(cls, options: NetOptions, jitter: float) -> Views:
        """What [net] and [region] of a cfg say."""
        return cls(jitter=jitter, flip=options.flip)


@dataclass(frozen=True, eq=False)
class Boxes:
    """What is known of an image: boxes float32 (n, 4) cx cy w h relative to it, their classes, and boxes to ignore."""

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    ignored: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class View:
    """A view of an image.

    Attributes:
        matrix: float64 (2, 3), from the image's pixel edges (x runs from 0 to its width) to the view's.
        size: (width, height) of the view in pixels.
        truth: what is to be found in the view, relative to it.
    """

    matrix: NDArray[np.float64]
    size: tuple[int, int]
    truth: Boxes

    @property
    def heights(self) -> NDArray[np.float64]:
        """Heights (n,) of the view's faces in its pixels."""
        return self.truth.boxes[:, 3].astype(np.float64) * self.size[1]


def draw_view(truth: Boxes, image_size: tuple[int, int], size: tuple[int, int], how: Views, rng: Generator) -> View:
    """A random view of ``size`` (width, height) of an image of ``image_size``. All chance comes from ``rng``."""
    return see(truth, image_size, _random_matrix(truth.boxes, image_size, size, how, rng), size)


def see(truth: Boxes, image_size: tuple[int, int], matrix: NDArray[np.float64], size: tuple[int, int]) -> View:
    """The view that ``matrix`` leads to: boxes moved along, cut at the border; tiny and cut ones are ignored."""
    boxes, visible = _move(truth.boxes, image_size, size, matrix)
    ignored, ignored_visible = _move(truth.ignored, image_size, size, matrix)
    keep = (visible >= MIN_VISIBLE) & (boxes[:, 3] * size[1] >= MIN_FACE)
    rest = np.concatenate([boxes[~keep & (visible > 0)], ignored[ignored_visible > 0]])
    return View(matrix, size, Boxes(boxes[keep], truth.class_ids[keep], rest))


def mosaic_tiles(size: tuple[int, int], rng: Generator) -> tuple[tuple[int, int, int, int], ...]:
    """Four tiles (x, y, width, height) that fill an input of ``size`` and meet somewhere in its middle third."""
    x, y = (round(side * rng.uniform(1 / 3, 2 / 3)) for side in size)
    width, height = size
    return ((0, 0, x, y), (x, 0, width - x, y), (0, y, x, height - y), (x, y, width - x, height - y))


def join(truths: list[Boxes], tiles: tuple[tuple[int, int, int, int], ...], size: tuple[int, int]) -> Boxes:
    """The truths of tiles, each relative to its tile, as one relative to the whole input of ``size``."""

    def moved(boxes: NDArray[np.float32], tile: tuple[int, int, int, int]) -> NDArray[np.float32]:
        x, y, width, height = tile
        scaled = boxes * (width, height, width, height) + (x, y, 0, 0)
        return (scaled / (*size, *size)).astype(np.float32)

    pairs = list(zip(truths, tiles, strict=True))
    return Boxes(
        np.concatenate([moved(truth.boxes, tile) for truth, tile in pairs]),
        np.concatenate([truth.class_ids for truth in truths]),
        np.concatenate([moved(truth.ignored, tile) for truth, tile in pairs]),
    )


def _random_matrix(
    boxes: NDArray[np.float32], image_size: tuple[int, int], size: tuple[int, int], how: Views, rng: Generator
) -> NDArray[np.float64]:
    fit = min(size[0] / image_size[0], size[1] / image_size[1])
    anchor = None
    if len(boxes) and rng.random() >= how.scenes:
        anchor = boxes[rng.integers(len(boxes))]
        lowest = min(how.smallest, how.largest * size[1])
        wanted = np.exp(rng.uniform(np.log(lowest), np.log(how.largest * size[1])))
        scale = wanted / (float(anchor[3]) * image_size[1])
        scale = float(np.clip(scale, how.shrink * fit, max(how.magnify, how.shrink * fit)))
    else:
        scale = fit * float(np.exp(rng.uniform(np.log(1 - how.jitter), np.log(1 + 2 * how.jitter))))
    aspect = np.sqrt(rng.uniform(1 - how.jitter / 2, 1 + how.jitter / 2))
    linear = np.diag([scale * aspect, scale / aspect])
    if rng.random() < how.rotate:
        turn = np.radians(rng.uniform(-how.angle, how.angle))
        linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ linear
    if how.flip and rng.random() < 0.5:
        linear[0] = -linear[0]
    return np.column_stack([linear, _random_shift(linear, image_size, size, anchor, rng)])


def _random_shift(
    linear: NDArray[np.float64],
    image_size: tuple[int, int],
    size: tuple[int, int],
    anchor: NDArray[np.float32] | None,
    rng: Generator,
) -> NDArray[np.float64]:
    # Where the image is smaller than the input it lies anywhere inside; where it is larger, the input does, and holds
    # the face that the scale was chosen for.
    extent = np.abs(linear) @ image_size
    middle = linear @ np.array(image_size) / 2
    low, high = np.minimum(0, size - extent), np.maximum(0, size - extent)
    if anchor is not None:
        centre = linear @ (anchor[:2] * image_size) - middle + extent / 2
        half = _half_extent(anchor[None, 2:] * image_size / 2, linear)[0]
        low = np.maximum(low, np.minimum(half - centre, high))
        high = np.maximum(low, np.minimum(high, size - half - centre))
    return np.asarray(low + rng.random(2) * (high - low) + extent / 2 - middle)


def _half_extent(half: NDArray[np.floating], linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half sizes (n, 2) of the boxes around ellipses of half axes ``half`` after a linear map.

    A face is round: turned, its box is that of the turned ellipse, much tighter than that of the turned corners. The
    ellipse {(a cos t, b sin t)} goes to x = m00 a cos t + m01 b sin t, whose greatest value is |(m00 a, m01 b)|.
    """
    return np.asarray(np.sqrt(np.square(half) @ np.square(linear).T))


def _move(
    boxes: NDArray[np.float32], old: tuple[int, int], new: tuple[int, int], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Relative boxes on the old image -> on the new one, cut at its border, and the part of each that is left."""
    if not len(boxes):
        return boxes, np.zeros(0)
    centre = boxes[:, :2] * old @ matrix[:, :2].T + matrix[:, 2]
    half = _half_extent(boxes[:, 2:] * old / 2, matrix[:, :2])
    low, high = np.clip(centre - half, 0, new), np.clip(centre + half, 0, new)
    visible = np.prod(high - low, 1) / np.prod(2 * half, 1)
    moved = np.concatenate([(low + high) / 2 / new, (high - low) / new], 1)
    return moved.astype(np.float32), visible
