"""What a device shall do with its pixels, drawn on the CPU: plans of batches as arrays that travel quickly.

Chance is that of :meth:`TrainingSet.plan`, as ever. A worker process turns a step's plans into a few arrays, so that
the process that feeds the device unpacks no thousand small objects and makes no thousand small calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tinier_yolo.training.augment import Effects, Patch, motion_kernel, small_size
from tinier_yolo.training.dataset import Plan, TrainingSet, collate_truths


class PlannedEffects(NamedTuple):
    """Effects of n images, as arrays; indices are those of images.

    Attributes:
        colours: float32 (5, n, 1, 1): hue (sixths of the circle), saturation, exposure, gamma, grey.
        covers: int32 (p, 10) of patches: image, top, left, bottom, right, source's top and left, red, green, blue.
        round: bool (p,), an ellipse instead of a rectangle; plain: bool (p,), of one colour.
        blurred: indices; sigmas: float32, of their Gaussians.
        smeared: indices; kernels: float32 (s, m, m), of their smears.
        shrunk: indices with the (height, width) they are made small to.
        noisy: indices; noise: float32, sigmas in grey levels.
    """

    colours: NDArray[np.float32]
    covers: NDArray[np.int32]
    round: NDArray[np.bool_]
    plain: NDArray[np.bool_]
    blurred: list[int]
    sigmas: NDArray[np.float32]
    smeared: list[int]
    kernels: NDArray[np.float32]
    shrunk: list[tuple[int, int, int]]
    noisy: list[int]
    noise: NDArray[np.float32]


class PlannedBatch(NamedTuple):
    """A batch before its pixels, p pieces for n inputs of ``size`` (width, height).

    Attributes:
        image: int64 (p,), the image of each piece.
        matrices: float64 (p, 2, 3), from pixel edges of the image to those of the input.
        first: int64 (n,), the first piece of each input.
        tiles: of the pieces that fill a part of their input: piece, input, x, y, width, height.
        effects: of the inputs.
        truths, ignored: as of :class:`Batch`.
    """

    size: tuple[int, int]
    image: NDArray[np.int64]
    matrices: NDArray[np.float64]
    first: NDArray[np.int64]
    tiles: list[tuple[int, int, int, int, int, int]]
    effects: PlannedEffects
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
    counts = [len(plan.pieces) for plan in plans]
    return PlannedBatch(
        size,
        np.array([piece.index for _, piece in pieces]),
        matrices,
        np.cumsum([0, *counts[:-1]]),
        [(n, owner, *piece.tile) for n, (owner, piece) in enumerate(pieces) if piece.tile[2:] != size],
        plan_effects([plan.effects for plan in plans], size),
        *collate_truths([plan.truth for plan in plans]),
    )


def plan_effects(effects: Sequence[Effects], size: tuple[int, int]) -> PlannedEffects:
    """The effects of inputs of a size (width, height) as arrays."""
    columns = [(effect.hue / 30, effect.saturation, effect.exposure, effect.gamma, effect.grey) for effect in effects]
    covers = [(n, patch) for n, effect in enumerate(effects) for patch in effect.patches]
    rows = np.array([_cover(n, patch, size) for n, patch in covers], np.int32).reshape(-1, 10)
    seen = (rows[:, 3] > rows[:, 1]) & (rows[:, 4] > rows[:, 2])
    blurred = [n for n, effect in enumerate(effects) if effect.defocus > 0]
    smeared = [n for n, effect in enumerate(effects) if effect.motion[0] > 1]
    noisy = [n for n, effect in enumerate(effects) if effect.noise[0] > 0]
    return PlannedEffects(
        np.array(columns, np.float32).T[..., None, None],
        rows[seen],
        np.array([patch.round for _, patch in covers], np.bool_)[seen],
        np.array([patch.colour is not None for _, patch in covers], np.bool_)[seen],
        blurred,
        np.array([effects[n].defocus for n in blurred], np.float32),
        smeared,
        _centred([motion_kernel(*effects[n].motion) for n in smeared]),
        [(n, *small_size(size, effect.shrink)[::-1]) for n, effect in enumerate(effects) if effect.shrink > 1],
        noisy,
        np.array([effects[n].noise[0] for n in noisy], np.float32),
    )


def _cover(image: int, patch: Patch, size: tuple[int, int]) -> tuple[int, ...]:
    rows, columns = patch.place(size)
    top, left = (part.start for part in patch.source_place(size))
    return (image, rows.start, columns.start, rows.stop, columns.stop, top, left, *(patch.colour or (0, 0, 0)))


def _centred(kernels: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Odd square kernels in the middle of squares of the largest one's size."""
    widest = max((len(kernel) for kernel in kernels), default=1)
    stack = np.zeros((len(kernels), widest, widest), np.float32)
    for target, kernel in zip(stack, kernels, strict=True):
        start = (widest - len(kernel)) // 2
        target[start : start + len(kernel), start : start + len(kernel)] = kernel
    return stack
