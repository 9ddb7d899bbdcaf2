"""Views and effects as PyTorch operations on whole batches, for a device that holds the data set as pixels.

What is shown is decided on the CPU, by :meth:`TrainingSet.plan`, with the same chance as ever; here pixels move. The
results are those of :func:`augment.render` and :func:`augment.apply_effects` up to rounding, with three differences:
noise comes from the device's own generator, area means of uneven windows are PyTorch's, and **JPEG is left out**.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from tinier_yolo.detection.letterbox import PADDING
from tinier_yolo.training.augment import Effects, defocus_kernel, motion_kernel, small_size
from tinier_yolo.training.dataset import Plan, TrainingSet, collate_truths

#: Weights of red, green and blue in grey (ITU-R BT.601), as OpenCV's.
_GREY = (0.299, 0.587, 0.114)


class PlannedBatch(NamedTuple):
    """A batch before its pixels, p pieces for n inputs of ``size`` (width, height).

    Attributes:
        image: int64 (p,), the image of each piece.
        matrices: float64 (p, 2, 3), from pixel edges of the image to those of the input.
        owner: the input of each piece; tiles: its part of it, x, y, width, height.
        effects: n.
        truths, ignored: as of :class:`Batch`.
    """

    size: tuple[int, int]
    image: Tensor
    matrices: Tensor
    owner: list[int]
    tiles: list[tuple[int, int, int, int]]
    effects: list[Effects]
    truths: Tensor
    ignored: Tensor


@dataclass(frozen=True)
class PlannedSet(Dataset[PlannedBatch]):
    """Item ``i`` is the plan of step ``i``, what :class:`TrainingSet` would show for images of these sizes."""

    views: TrainingSet
    sizes: NDArray[np.int64]

    def __getitem__(self, step: int) -> PlannedBatch:
        size = self.views.size_of(step)
        plans = [self.views.plan(position, size, self._image_size) for position in self.views.positions(step)]
        return plan_batch(plans, size)

    def _image_size(self, index: int) -> tuple[int, int]:
        return int(self.sizes[index, 0]), int(self.sizes[index, 1])


def plan_batch(plans: Sequence[Plan], size: tuple[int, int]) -> PlannedBatch:
    """Plans of inputs of one size as a batch."""
    pieces = [(owner, piece) for owner, plan in enumerate(plans) for piece in plan.pieces]
    matrices = np.stack([piece.view.matrix for _, piece in pieces])
    matrices[:, :, 2] += np.array([piece.tile[:2] for _, piece in pieces])
    return PlannedBatch(
        size,
        torch.tensor([piece.index for _, piece in pieces]),
        torch.from_numpy(matrices),
        [owner for owner, _ in pieces],
        [piece.tile for _, piece in pieces],
        [plan.effects for plan in plans],
        *collate_truths([plan.truth for plan in plans]),
    )


def make_images(pixels: Tensor, planned: PlannedBatch, generator: torch.Generator | None = None) -> Tensor:
    """The inputs of a planned batch.

    Args:
        pixels: uint8 (images, side, side, 3) on the device, each image in the top left corner, grey beyond it.
        planned: the plan.
        generator: of the noise, on the same device.

    Returns:
        float32 (n, 3, height, width), whole numbers 0..255, channels last.
    """
    images = render_pieces(pixels, planned)
    images = apply_effects(images, planned.effects, generator)
    return images.round_().clamp_(0, 255).contiguous(memory_format=torch.channels_last)


def render_pieces(pixels: Tensor, planned: PlannedBatch) -> Tensor:
    """The views of a planned batch before their effects, float32 (n, 3, height, width)."""
    width, height = planned.size
    side = pixels.shape[1]
    inverse = torch.linalg.inv(planned.matrices[:, :, :2])
    # Both frames run from -1 to 1 at their edges: out = (g + 1) * size / 2, source = 2 * image / side - 1.
    half = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    linear = inverse * half * (2 / side)
    shift = (inverse @ (half - planned.matrices[:, :, 2])[:, :, None]) * (2 / side) - 1
    theta = torch.cat([linear, shift], 2).float().to(pixels.device)
    # Zero, what lies outside, is made the grey of the padding.
    sources = pixels[planned.image.to(pixels.device)].permute(0, 3, 1, 2).float() - PADDING
    grid = functional.affine_grid(theta, [len(theta), 3, height, width], align_corners=False)
    seen = functional.grid_sample(sources, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + PADDING
    if len(seen) == len(planned.effects):
        return seen
    first = torch.tensor([planned.owner.index(owner) for owner in range(len(planned.effects))], device=pixels.device)
    images = seen[first]
    for number, (owner, (x, y, w, h)) in enumerate(zip(planned.owner, planned.tiles, strict=True)):
        if (w, h) != planned.size:
            images[owner, :, y : y + h, x : x + w] = seen[number, :, y : y + h, x : x + w]
    return images


def apply_effects(images: Tensor, effects: Sequence[Effects], generator: torch.Generator | None = None) -> Tensor:
    """Change images, float32 (n, 3, height, width) of 0..255, by the effects of each, but for JPEG."""
    for image, effect in zip(images, effects, strict=True):
        if effect.patches:
            _cover(image, effect)
    images = _recolour(images, effects)
    _filter(images, [_defocus_kernel(effect) for effect in effects])
    _filter(images, [_smear_kernel(effect) for effect in effects])
    for image, effect in zip(images, effects, strict=True):
        if effect.shrink > 1:
            image.copy_(_lose_resolution(image, effect.shrink))
    sigmas = images.new_tensor([effect.noise[0] for effect in effects]).view(-1, 1, 1, 1)
    if any(effect.noise[0] > 0 for effect in effects):
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = (images + sigmas * noise).clamp_(0, 255)
    return images


def _cover(image: Tensor, effects: Effects) -> None:
    before = image.clone()
    size = image.shape[2], image.shape[1]
    for patch in effects.patches:
        place = image[:, *patch.place(size)]
        if not place.numel():
            continue
        content = before[:, *patch.source_place(size)]
        if patch.colour is not None:
            content = image.new_tensor(patch.colour).view(3, 1, 1).expand_as(place)
        place.copy_(torch.where(torch.from_numpy(patch.mask(place.shape[1:])).to(image.device), content, place))


def _recolour(images: Tensor, effects: Sequence[Effects]) -> Tensor:
    """Hue, saturation and tones in HSV, as OpenCV defines it; or grey and tones."""

    def column(value: Callable[[Effects], float]) -> Tensor:
        return images.new_tensor([value(effect) for effect in effects]).view(-1, 1, 1)

    value, strongest = images.max(1)
    spread = value - images.amin(1)
    red, green, blue = images.unbind(1)
    safe = spread.clamp(min=1e-6)
    sector = torch.where(strongest == 1, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    hue = torch.where(strongest == 0, (green - blue) / safe, sector) + column(lambda effect: effect.hue / 30)
    saturation = (spread / value.clamp(min=1e-6) * column(lambda effect: effect.saturation)).clamp_(max=1)
    weights = images.new_tensor(_GREY).view(1, 3, 1, 1)
    grey = column(lambda effect: effect.grey) > 0
    value = torch.where(grey, (images * weights).sum(1), value)
    saturation = torch.where(grey, 0.0, saturation)
    value = (value * column(lambda effect: effect.exposure)).clamp_(0, 255) / 255
    value = 255 * value ** column(lambda effect: effect.gamma)
    planes = []
    for number in (5, 3, 1):
        part = torch.remainder(number + hue, 6)
        planes.append(value - value * saturation * torch.minimum(part, 4 - part).clamp_(0, 1))
    return torch.stack(planes, 1)


def _defocus_kernel(effects: Effects) -> NDArray[np.floating] | None:
    return defocus_kernel(effects.defocus) if effects.defocus > 0 else None


def _smear_kernel(effects: Effects) -> NDArray[np.floating] | None:
    return motion_kernel(*effects.motion) if effects.motion[0] > 1 else None


def _filter(images: Tensor, kernels: Sequence[NDArray[np.floating] | None]) -> None:
    """Correlate images with their kernels (odd and square; None leaves an image), mirrored at the border, in place."""
    chosen = [number for number, kernel in enumerate(kernels) if kernel is not None]
    if not chosen:
        return
    height, width = images.shape[2:]
    radius = max(len(kernel) // 2 for kernel in kernels if kernel is not None)
    radius = min(radius, min(height, width) - 1)  # as far as there is something to mirror
    stack = np.zeros((len(chosen), 1, 2 * radius + 1, 2 * radius + 1), np.float32)
    for target, number in zip(stack[:, 0], chosen, strict=True):
        kernel = np.asarray(kernels[number])
        cut = max(0, len(kernel) // 2 - radius)
        kernel = kernel[cut : len(kernel) - cut, cut : len(kernel) - cut]
        start = radius - len(kernel) // 2
        target[start : start + len(kernel), start : start + len(kernel)] = kernel / kernel.sum()
    # By Fourier transforms: kernels are up to a hundred pixels wide.
    padded = functional.pad(images[chosen], (radius,) * 4, mode="reflect")
    spectrum = torch.fft.rfft2(torch.from_numpy(stack).to(images.device), padded.shape[2:])
    product = torch.fft.rfft2(padded) * spectrum.conj()
    images[chosen] = torch.fft.irfft2(product, padded.shape[2:])[:, :, :height, :width]


def _lose_resolution(image: Tensor, shrink: float) -> Tensor:
    width, height = small_size((image.shape[2], image.shape[1]), shrink)
    small = functional.interpolate(image[None], (height, width), mode="area")
    return functional.interpolate(small, image.shape[1:], mode="bilinear", align_corners=False)[0]
