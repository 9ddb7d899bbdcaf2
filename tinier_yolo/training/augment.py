"""Augmentation of pixels: colour, blur, noise, compression, and patches over faces. Boxes do not move here.

Chance and work are apart: :func:`draw_effects` draws numbers, :func:`apply_effects` changes the image by them. What
blurs does so in proportion to the faces of the view, as a lens or a shaken camera does: an out-of-focus face of 100
pixels and one of 20 then look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tinier_yolo.darknet.network import NetOptions
from tinier_yolo.detection.letterbox import PADDING
from tinier_yolo.training.views import View

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """How far to go; the names are Darknet's where it has one. A share of 0 turns an effect off.

    Attributes:
        hue: in parts of the colour circle.
        saturation: factor, drawn from 1/saturation..saturation.
        exposure: the same for brightness.
        grey: the share of views that lose their colour.
        gamma: the share whose tones are bent, by an exponent from 1/2 to 2.
        defocus: the share that is out of focus, by a sigma of 0.01 to 0.07 of a face's height.
        motion: the share smeared along a line of 0.06 to 0.3 of a face's height.
        low_resolution: the share made small, faces down to 8 to 24 pixels, and large again.
        noise: the share with noise, of a sigma of 2 to 14 grey levels.
        jpeg: the share compressed, with a quality of 12 to 70.
        patches: the share of faces of which 15 to 45 % are covered.
    """

    hue: float = 0.1
    saturation: float = 1.5
    exposure: float = 1.5
    grey: float = 0.1
    gamma: float = 0.2
    defocus: float = 0.15
    motion: float = 0.08
    low_resolution: float = 0.12
    noise: float = 0.1
    jpeg: float = 0.2
    patches: float = 0.12

    @classmethod
    def of(cls, options: NetOptions) -> Augmentation:
        """What the [net] of a cfg says."""
        return cls(options.hue, max(1.0, options.saturation), max(1.0, options.exposure))


@dataclass(frozen=True)
class Patch:
    """Something in front of a face, in pixels of the view.

    Attributes:
        centre, half: of the patch, x and y.
        round: an ellipse instead of a rectangle.
        colour: its colour, or None for a piece of the view itself, from ``source`` (top left, x and y).
    """

    centre: tuple[float, float]
    half: tuple[float, float]
    round: bool
    colour: tuple[int, int, int] | None
    source: tuple[float, float]

    def place(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns that it covers of a view of ``size`` (width, height)."""
        left, top = (max(0, round(c - h)) for c, h in zip(self.centre, self.half, strict=True))
        right, bottom = (round(c + h) + 1 for c, h in zip(self.centre, self.half, strict=True))
        return slice(top, max(top, min(bottom, size[1]))), slice(left, max(left, min(right, size[0])))

    def source_place(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns, as many as :meth:`place` has, of the piece of the view that it shows."""
        rows, columns = self.place(size)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        x, y = min(round(self.source[0]), size[0] - width), min(round(self.source[1]), size[1] - height)
        return slice(y, y + height), slice(x, x + width)

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """What it covers of a place of that (height, width)."""
        if not self.round:
            return np.ones(shape, np.bool_)
        mask, middle = np.zeros(shape, np.uint8), (shape[1] // 2, shape[0] // 2)
        cv2.ellipse(mask, middle, middle, 0, 0, 360, 1, -1)
        return mask.astype(np.bool_)


@dataclass(frozen=True)
class Effects:
    """What happens to the pixels of one view; the defaults change nothing. In this order.

    Attributes:
        patches: what covers faces.
        grey: take the colour away.
        hue: shift in OpenCV's half degrees; saturation, exposure: factors.
        gamma: exponent of the tones.
        defocus: sigma of a Gaussian, pixels.
        motion: length (pixels) and angle (radians) of a smear.
        shrink: factor by which the view is made small and large again.
        noise: sigma in grey levels, and the seed of the noise.
        jpeg: quality 1..100; 0 for none.
    """

    patches: tuple[Patch, ...] = ()
    grey: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    gamma: float = 1.0
    defocus: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    shrink: float = 1.0
    noise: tuple[float, int] = (0.0, 0)
    jpeg: int = 0


def draw_effects(view: View, how: Augmentation, rng: Generator) -> Effects:
    """Random effects for a view. Every number is drawn, used or not, so that one share does not change the others."""
    heights = view.heights
    face = float(rng.choice(heights)) if len(heights) else float(rng.uniform(0.1, 0.6) * view.size[1])
    chance, amount = rng.random(8), rng.random(8)
    low_face = min(face, 8 * 3 ** amount[4])

    def factor(limit: float, part: float) -> float:
        return float(limit ** (2 * part - 1))

    return Effects(
        _draw_patches(view, how.patches, rng),
        bool(chance[0] < how.grey),
        float((2 * amount[0] - 1) * how.hue * 180),
        factor(how.saturation, amount[6]),
        factor(how.exposure, amount[7]),
        factor(2.0, amount[1]) if chance[1] < how.gamma else 1.0,
        float(face * (0.01 + 0.06 * amount[2])) if chance[2] < how.defocus else 0.0,
        (float(face * (0.06 + 0.24 * amount[3])), float(rng.uniform(0, np.pi))) if chance[3] < how.motion else (0, 0),
        float(face / low_face) if chance[4] < how.low_resolution else 1.0,
        (float(2 + 12 * amount[5]), int(rng.integers(2**31))) if chance[5] < how.noise else (0.0, 0),
        int(rng.integers(12, 71)) if chance[6] < how.jpeg else 0,
    )


def render(image: Image, view: View) -> Image:
    """The pixels of a view of an RGB image (height, width, 3), grey where the image does not reach."""
    # The matrix is for edges, OpenCV's for pixel centres: half a pixel is taken from what goes in, added to what comes.
    centres = view.matrix.copy()
    centres[:, 2] += view.matrix[:, :2] @ (0.5, 0.5) - 0.5
    grey = (PADDING,) * 3
    seen = cv2.warpAffine(
        image, centres, view.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=grey
    )
    return np.asarray(seen, np.uint8)


def apply_effects(image: Image, effects: Effects) -> Image:
    """Change an RGB image by the effects; the input is left as it is where there is anything to change."""
    if effects.patches:
        image = _cover(image, effects.patches)
    image = _recolour(image, effects)
    if effects.defocus > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), effects.defocus), np.uint8)
    if effects.motion[0] > 1:
        image = np.asarray(cv2.filter2D(image, -1, motion_kernel(*effects.motion)), np.uint8)
    if effects.shrink > 1:
        image = _lose_resolution(image, effects.shrink)
    if effects.noise[0] > 0:
        image = _add_noise(image, *effects.noise)
    if effects.jpeg:
        _, code = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, effects.jpeg))
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return image


def _draw_patches(view: View, share: float, rng: Generator) -> tuple[Patch, ...]:
    patches = []
    size = np.array(view.size)
    for box in view.truth.boxes:
        chance = rng.random(8)
        if chance[0] >= share:
            continue
        # Part of the face's area, spread over the two sides unevenly; the patch lies partly outside the face.
        part, ratio = 0.15 + 0.3 * chance[1], 2.0 ** (2 * chance[2] - 1)
        half = box[2:] * size / 2 * np.sqrt(part) * (np.sqrt(ratio), 1 / np.sqrt(ratio))
        centre = box[:2] * size + (chance[3:5] - 0.5) * box[2:] * size
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        plain = colour if chance[5] < 0.5 else None
        source = chance[6:8] * np.maximum(size - 2 * half, 0)
        patches.append(
            Patch(_pair(centre), _pair(half), bool(rng.random() < 0.5), plain, _pair(source))  # type: ignore[arg-type]
        )
    return tuple(patches)


def _pair(values: NDArray[np.floating]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _cover(image: Image, patches: tuple[Patch, ...]) -> Image:
    covered = image.copy()
    height, width = image.shape[:2]
    for patch in patches:
        rows, columns = patch.place((width, height))
        place = covered[rows, columns]
        if not place.size:
            continue
        content = image[patch.source_place((width, height))]
        if patch.colour is not None:
            content = np.broadcast_to(np.array(patch.colour, np.uint8), place.shape)
        np.copyto(place, content, where=patch.mask(place.shape[:2])[..., None])
    return covered


def _recolour(image: Image, effects: Effects) -> Image:
    values = np.arange(256)
    if effects.grey:
        tones = np.clip(255 * (np.clip(values * effects.exposure, 0, 255) / 255) ** effects.gamma, 0, 255)
        grey = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), tones.astype(np.uint8))
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    brighter = 255 * (np.clip(values * effects.exposure, 0, 255) / 255) ** effects.gamma
    tables = ((values + effects.hue) % 180, values * effects.saturation, brighter)
    hsv = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    hsv = [cv2.LUT(plane, np.clip(table, 0, 255).astype(np.uint8)) for plane, table in zip(hsv, tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(hsv), cv2.COLOR_HSV2RGB), np.uint8)


def defocus_kernel(sigma: float) -> NDArray[np.float64]:
    """The Gaussian, (n, n) with a sum of 1, that OpenCV blurs bytes with."""
    line = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma)
    return np.asarray(line @ line.T, np.float64)


def motion_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """The kernel (2 r + 1, 2 r + 1) of a smear of ``length`` pixels at ``angle`` radians; its sum is 1."""
    radius = max(1, round(length / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    dx, dy = radius * np.cos(angle), radius * np.sin(angle)
    ends = (round(radius - dx), round(radius - dy)), (round(radius + dx), round(radius + dy))
    cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_AA)
    return np.asarray(kernel / kernel.sum(), np.float32)


def small_size(size: tuple[int, int], shrink: float) -> tuple[int, int]:
    """The (width, height) that a view of ``size`` is made small to."""
    return max(8, round(size[0] / shrink)), max(8, round(size[1] / shrink))


def scaled_down(image: Image, size: tuple[int, int]) -> Image:
    """An image made smaller, to (width, height): each pixel the mean of those that it covers."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _lose_resolution(image: Image, shrink: float) -> Image:
    height, width = image.shape[:2]
    smaller = cv2.resize(image, small_size((width, height), shrink), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(smaller, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _add_noise(image: Image, sigma: float, seed: int) -> Image:
    noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32) * sigma
    return np.asarray(np.clip(image + noise, 0, 255), np.uint8)
