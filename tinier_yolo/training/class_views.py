"""Augmentation of a classifier's images: chance by batch, and the pixels.

Where [net] has ``min_crop`` or ``max_crop`` this is Darknet's: the shorter side is scaled to a length between the two,
the aspect ratio changed by up to ``aspect``, the image turned by up to ``angle`` degrees, and a part of the input's
size cut out. Without them an image of the input's size is moved, its edges mirrored: the usual pad-and-crop of small
images. It goes as far as ``max_shift`` of [net] says, in pixels; by default a sixteenth of the input's shorter side.
``cutout`` of [net] covers a grey square of so many pixels, centred anywhere on the input, in every image (DeVries and
Taylor 2017, arXiv:1708.04552).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tinier_yolo.darknet.cfg import Section
from tinier_yolo.darknet.network import Network
from tinier_yolo.training.augment import Effects, Image, apply_effects, render
from tinier_yolo.training.views import Boxes, View

#: By what part of the shorter side images are moved where neither a crop nor ``max_shift`` is given.
_SHIFT = 1 / 16
#: The colour of what ``cutout`` covers.
_GREY = 127


@dataclass(frozen=True)
class ClassViews:
    """How images are shown. Lengths in pixels of the input, before it is cut out.

    Attributes:
        shortest, longest: what the shorter side is scaled to; equal to the input's shorter side: moved instead.
        aspect: aspect ratios are changed by a factor of 1/aspect..aspect.
        angle: images are turned by up to so many degrees, either way.
        flip: mirror every other image.
        hue, saturation, exposure: as of :class:`tinier_yolo.training.augment.Augmentation`.
        shift: images that are moved are so by up to so many pixels, each way.
        cutout: side of the square that is covered; 0: none.
    """

    shortest: int
    longest: int
    aspect: float = 1.0
    angle: float = 0.0
    flip: bool = True
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    shift: int = 0
    cutout: int = 0

    @classmethod
    def of(cls, network: Network) -> ClassViews:
        """What the [net] of a cfg says.

        Raises:
            CfgError: a crop that is smaller than the input, ``min_crop`` above ``max_crop``, or a shift or a square as
                large as the input.
        """
        section, net = network.sections[0], network.options
        side = min(net.width, net.height)
        given = "min_crop" in section.options or "max_crop" in section.options
        # Darknet's defaults: from the input's width to twice that.
        shortest = section.integer("min_crop", net.width if given else side)
        longest = section.integer("max_crop", max(shortest, 2 * net.width) if given else side)
        if not side <= shortest <= longest <= 1 << 14:
            key = "min_crop" if "min_crop" in section.options else "max_crop"
            expected = f"{side} <= min_crop <= max_crop"
            raise section.error("bad crop", key, expected=expected, found=f"{shortest}, {longest}")
        aspect = section.number("aspect", 1.0)
        if not 1 <= aspect <= 8:
            raise section.error("bad value", "aspect", expected="1..8", found=aspect)
        return cls(
            shortest,
            longest,
            aspect,
            abs(section.number("angle", 0.0)),
            net.flip,
            net.hue,
            max(1.0, net.saturation),
            max(1.0, net.exposure),
            _pixels(section, "max_shift", round(side * _SHIFT), side),
            _pixels(section, "cutout", 0, side),
        )

    @property
    def moves(self) -> bool:
        """Whether images of the input's size are only moved and mirrored."""
        return self.longest == self.shortest and self.aspect == 1 and self.angle == 0

    @property
    def recolours(self) -> bool:
        """Whether colours are changed."""
        return self.hue > 0 or self.saturation > 1 or self.exposure > 1


def _pixels(section: Section, key: str, default: int, side: int) -> int:
    """A length below the input's shorter side."""
    value = section.integer(key, default)
    if not 0 <= value < side:
        raise section.error("bad value", key, expected=f"0..{side - 1}", found=value)
    return value


def moved(images: Image, views: ClassViews, rng: Generator) -> Image:
    """Images, each moved and mirrored by chance.

    Args:
        images: uint8 (batch, height, width, 3).
        views: how far, and whether to mirror every other one.
        rng: chance.

    Returns:
        uint8 (batch, height, width, 3).
    """
    batch, (height, width) = len(images), images.shape[1:3]
    rows, columns = (_moved_cells(side, views.shift, batch, rng) for side in (height, width))
    mirrored = rng.random(batch) < 0.5
    if views.flip:
        columns = np.where(mirrored[:, None], columns[:, ::-1], columns)
    return np.asarray(images[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]], np.uint8)


def _moved_cells(side: int, shift: int, batch: int, rng: Generator) -> NDArray[np.int64]:
    """Which cell of the image each cell of the input shows, (batch, side): moved, mirrored at the edges."""
    cells = np.arange(side) + rng.integers(-shift, shift + 1, batch)[:, None]
    return np.asarray(np.minimum(np.abs(cells), 2 * (side - 1) - np.abs(cells)).clip(0), np.int64)


def cut_out(image: Image, size: tuple[int, int], views: ClassViews, rng: Generator) -> Image:
    """A random part of an image of any size, as Darknet's ``random_augment_image`` cuts it.

    Args:
        image: uint8 (height, width, 3).
        size: (width, height) of the input.
        views: how.
        rng: chance; so many numbers are drawn whatever the image.

    Returns:
        uint8 of that size.
    """
    chance = rng.random(6)
    height, width = image.shape[:2]
    wanted = views.shortest + chance[0] * (views.longest - views.shortest)
    aspect = views.aspect ** (2 * chance[1] - 1)
    angle = np.radians(views.angle * (2 * chance[2] - 1))
    scale = wanted / min(height, width * aspect)
    scaled = np.array([width * aspect, height]) * scale
    # Where the image is not larger than the input there is no part to choose, but a little to move.
    room = np.maximum((scaled - size) / 2, views.shift if views.moves else 0)
    centre = np.array(size) / 2 + (2 * chance[3:5] - 1) * room
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag([-1.0 if views.flip and chance[5] < 0.5 else 1.0, 1.0])
    linear = turn @ mirror @ np.diag([aspect * scale, scale])
    offset = centre - linear @ (np.array([width, height]) / 2)
    # By whole pixels where nothing else changes: between them the pixels would be means, which blurs.
    offset = np.rint(offset) if views.moves else offset
    nothing = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros((0, 4), np.float32))
    return render(image, View(np.column_stack([linear, offset]), size, nothing))


def covered(pixels: Image, side: int, rng: Generator) -> Image:
    """Images with a grey square over a part of each.

    Args:
        pixels: uint8 (batch, height, width, 3); changed in place.
        side: of the square, in pixels. Its centre lies on any pixel, so that a part of it may lie outside.
        rng: chance.

    Returns:
        The same array.
    """
    batch, height, width = pixels.shape[:3]
    rows, columns = (_covered_cells(length, side, batch, rng) for length in (height, width))
    pixels[rows[:, :, None] & columns[:, None, :]] = _GREY
    return pixels


def _covered_cells(length: int, side: int, batch: int, rng: Generator) -> NDArray[np.bool_]:
    """Which cells of an axis the squares lie over, (batch, length)."""
    after = np.arange(length) - (rng.integers(0, length, batch) - side // 2)[:, None]
    return np.asarray((after >= 0) & (after < side), np.bool_)


def recoloured(image: Image, views: ClassViews, rng: Generator) -> Image:
    """An image with hue, saturation and exposure changed by chance."""
    chance = 2 * rng.random(3) - 1
    return apply_effects(
        image,
        Effects(
            hue=float(chance[0] * views.hue * 180),
            saturation=float(views.saturation ** chance[1]),
            exposure=float(views.exposure ** chance[2]),
        ),
    )
