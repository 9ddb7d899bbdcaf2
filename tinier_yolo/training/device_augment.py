"""Views and effects as PyTorch operations on whole batches, for a device that holds the data set as pixels.

What is shown is decided on the CPU (:mod:`.device_plan`), with the same chance as ever; here pixels move. The results
are those of :func:`augment.render` and :func:`augment.apply_effects` up to rounding, with four differences: noise comes
from the device's own generator, area means of uneven windows are PyTorch's, where two patches overlap either may lie on
top, and **JPEG is left out**. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tinier_yolo.detection.letterbox import PADDING
from tinier_yolo.training.device_plan import PlannedBatch, PlannedEffects

#: Weights of red, green and blue in grey (ITU-R BT.601), as OpenCV's.
_GREY = (0.299, 0.587, 0.114)


def make_images(
    pixels: Tensor,
    planned: PlannedBatch,
    generator: torch.Generator | None = None,
    colours: Callable[..., Tensor] | None = None,
) -> Tensor:
    """The inputs of a planned batch.

    Args:
        pixels: uint8 (images, side, side, 3) on the device, each image in the top left corner, grey beyond it.
        planned: the plan.
        generator: of the noise, on the same device.
        colours: :func:`recolour`, or what ``torch.compile`` has made of it.

    Returns:
        float32 (n, 3, height, width), whole numbers 0..255, channels last.
    """
    images = render_pieces(pixels, planned)
    images = apply_effects(images, planned.effects, generator, colours)
    return images.round_().clamp_(0, 255).contiguous(memory_format=torch.channels_last)


def render_pieces(pixels: Tensor, planned: PlannedBatch) -> Tensor:
    """The views of a planned batch before their effects, float32 (n, 3, height, width)."""
    width, height = planned.size
    side = pixels.shape[1]
    matrices = torch.from_numpy(planned.matrices)
    inverse = torch.linalg.inv(matrices[:, :, :2])
    # Both frames run from -1 to 1 at their edges: out = (g + 1) * size / 2, source = 2 * image / side - 1.
    half = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    linear = inverse * half * (2 / side)
    shift = (inverse @ (half - matrices[:, :, 2])[:, :, None]) * (2 / side) - 1
    theta = torch.cat([linear, shift], 2).float().to(pixels.device, non_blocking=True)
    # Zero, what lies outside, is made the grey of the padding.
    chosen = torch.from_numpy(planned.image).to(pixels.device, non_blocking=True)
    sources = pixels[chosen].permute(0, 3, 1, 2).float() - PADDING
    grid = functional.affine_grid(theta, [len(theta), 3, height, width], align_corners=False)
    seen = functional.grid_sample(sources, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + PADDING
    if not planned.tiles:
        return seen
    images = seen[torch.from_numpy(planned.first).to(pixels.device, non_blocking=True)]
    for piece, owner, x, y, w, h in planned.tiles:
        images[owner, :, y : y + h, x : x + w] = seen[piece, :, y : y + h, x : x + w]
    return images


def apply_effects(
    images: Tensor,
    effects: PlannedEffects,
    generator: torch.Generator | None = None,
    colours: Callable[..., Tensor] | None = None,
) -> Tensor:
    """Images, float32 (n, 3, height, width) of 0..255, changed by the effects, but for JPEG."""
    if len(effects.covers):
        images = _cover(images, effects)
    images = (colours or recolour)(images, *_to(images, effects.colours))
    _filter(images, effects.blurred, lambda: defocus_kernels(_to(images, effects.sigmas), float(effects.sigmas.max())))
    _filter(images, effects.smeared, lambda: _to(images, effects.kernels))
    for index, height, width in effects.shrunk:
        images[index] = _lose_resolution(images[index], (height, width))
    if effects.noisy:
        chosen = torch.tensor(effects.noisy).to(images.device, non_blocking=True)
        sigmas = _to(images, effects.noise).view(-1, 1, 1, 1)
        noise = torch.randn((len(chosen), *images.shape[1:]), generator=generator, device=images.device)
        images[chosen] = (images[chosen] + sigmas * noise).clamp_(0, 255)
    return images


def _to(images: Tensor, array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(array).to(images.device, non_blocking=True)


def _cover(images: Tensor, effects: PlannedEffects) -> Tensor:
    """Images with patches on them, all at once: pixels that a patch leaves alone go to a canvas that is thrown away."""
    covers, places = effects.covers, _to(images, effects.covers).long()
    image, top, left, bottom, right, source_top, source_left = places.T[:7, :, None]
    across = torch.arange(int((covers[:, 3:5] - covers[:, 1:3]).max()), device=images.device)
    rows, columns = top + across, left + across
    height, width = bottom - top, right - left
    inside = ((across < height)[:, :, None]) & (across < width)[:, None, :]
    # An ellipse about the pixel in the middle, within a pixel of the one that OpenCV draws.
    vertical, horizontal = ((across - side // 2) / (side // 2 + 0.5) for side in (height, width))
    inside &= (vertical[:, :, None] ** 2 + horizontal[:, None, :] ** 2 <= 1) | ~_to(images, effects.round)[
        :, None, None
    ]
    last = images.shape[2] - 1, images.shape[3] - 1
    row = (source_top + across).clamp(max=last[0])[:, :, None]
    column = (source_left + across).clamp(max=last[1])[:, None, :]
    shown = images[image[..., None], :, row, column]
    plain = _to(images, effects.plain)[:, None, None, None]
    shown = torch.where(plain, places[:, None, None, 7:].float(), shown)
    owner = torch.where(inside, image[..., None], len(images))
    canvas = torch.cat([images, images[:1]])
    canvas[owner, :, rows.clamp(max=last[0])[:, :, None], columns.clamp(max=last[1])[:, None, :]] = shown
    return canvas[:-1]


def recolour(images: Tensor, turn: Tensor, saturate: Tensor, exposure: Tensor, gamma: Tensor, grey: Tensor) -> Tensor:
    """Hue, saturation and tones in HSV, as OpenCV defines it; or grey and tones. The columns are (n, 1, 1)."""
    value, strongest = images.max(1)
    spread = value - images.amin(1)
    red, green, blue = images.unbind(1)
    safe = spread.clamp(min=1e-6)
    sector = torch.where(strongest == 1, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    hue = torch.where(strongest == 0, (green - blue) / safe, sector) + turn
    saturation = (spread / value.clamp(min=1e-6) * saturate).clamp(max=1)
    value = torch.where(grey > 0, red * _GREY[0] + green * _GREY[1] + blue * _GREY[2], value)
    saturation = torch.where(grey > 0, 0.0, saturation)
    value = (value * exposure).clamp(0, 255) / 255
    value = 255 * value**gamma
    planes = []
    for number in (5, 3, 1):
        part = torch.remainder(number + hue, 6)
        planes.append(value - value * saturation * torch.minimum(part, 4 - part).clamp(0, 1))
    return torch.stack(planes, 1)


def defocus_kernels(sigmas: Tensor, largest: float) -> Tensor:
    """The kernels of :func:`augment.defocus_kernel` for sigmas (n,), each in the middle of the largest one's square."""
    reach = (round(6 * largest + 1) | 1) // 2
    across = torch.arange(-reach, reach + 1, device=sigmas.device)
    radii = torch.div(torch.round(6 * sigmas + 1), 2, rounding_mode="floor")
    lines = torch.where(across.abs() <= radii[:, None], torch.exp(-0.5 * (across / sigmas[:, None]) ** 2), 0)
    lines = lines / lines.sum(1, keepdim=True)
    return lines[:, :, None] * lines[:, None, :]


def _filter(images: Tensor, chosen: Sequence[int], make_kernels: Callable[[], Tensor]) -> None:
    """Correlate the chosen images with their kernels (n, 2 r + 1, 2 r + 1), mirrored at the border, in place."""
    if not chosen:
        return
    kernels = make_kernels()
    height, width = images.shape[2:]
    radius = kernels.shape[1] // 2
    reach = min(radius, min(height, width) - 1)  # as far as there is something to mirror
    cut = radius - reach
    kernels = kernels[:, cut : 2 * radius + 1 - cut, cut : 2 * radius + 1 - cut]
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    # By Fourier transforms: kernels are up to a hundred pixels wide. Few sizes, so that their plans are made once.
    size = [-(-(side + 2 * reach) // 64) * 64 for side in (height, width)]
    index = torch.tensor(chosen).to(images.device, non_blocking=True)
    padded = functional.pad(images[index], (reach,) * 4, mode="reflect")
    spectrum = torch.fft.rfft2(kernels[:, None], size)
    product = torch.fft.rfft2(padded, size) * spectrum.conj()
    images[index] = torch.fft.irfft2(product, size)[:, :, :height, :width]


def _lose_resolution(image: Tensor, shape: tuple[int, int]) -> Tensor:
    small = functional.interpolate(image[None], shape, mode="area")
    return functional.interpolate(small, image.shape[1:], mode="bilinear", align_corners=False)[0]
