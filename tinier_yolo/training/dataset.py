"""Samples -> batches. Every batch is a function of (seed, iteration), so that a resumed run sees what it would have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tinier_yolo.datasets.labels import Sample
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.media.images import read_image
from tinier_yolo.training.augment import Augmentation, Effects, Image, apply_effects, draw_effects, render
from tinier_yolo.training.views import Boxes, View, Views, draw_view, join, mosaic_tiles, see


@dataclass(frozen=True, eq=False)
class Example:
    """A training example: uint8 RGB image (height, width, 3) and what is on it."""

    image: Image
    truth: Boxes

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def as_view(self) -> View:
        """The example as a view of itself."""
        return View(np.eye(2, 3), self.size, self.truth)


@dataclass(frozen=True, eq=False)
class Piece:
    """A view of one image (``index`` among the samples) and where it lies in the input: x, y, width, height."""

    index: int
    tile: tuple[int, int, int, int]
    view: View


@dataclass(frozen=True, eq=False)
class Plan:
    """What a training example shall be: one piece or the four of a mosaic, what is then on it, what happens to it."""

    pieces: tuple[Piece, ...]
    truth: Boxes
    effects: Effects


class Batch(NamedTuple):
    """Images and what is on them.

    Attributes:
        images: uint8 (n, 3, height, width), RGB.
        truths: float32 (n, t, 5): cx cy w h relative, class; rows of zeros fill up.
        ignored: float32 (n, m, 4): cx cy w h relative; rows of zeros fill up.
    """

    images: Tensor
    truths: Tensor
    ignored: Tensor


@dataclass(frozen=True)
class TrainingSet(Dataset[Batch]):
    """Item ``i`` is the batch of step ``i``: shuffled by epoch, random views, changed pixels, of that step's size.

    Attributes:
        samples: the images.
        batch: images a step on this process.
        sizes: the input sizes to draw from, each a (width, height).
        views, augmentation: how views are drawn and their pixels changed.
        hold: how many steps a size is kept (ten batches in YOLOv2).
        rank: this process, of ``world`` that share each step's images.
        hard: indices of images that take the place of others in a ``hard_share`` of all views.
    """

    samples: Sequence[Sample]
    batch: int
    sizes: tuple[tuple[int, int], ...]
    views: Views
    augmentation: Augmentation
    seed: int = 0
    hold: int = 10
    rank: int = 0
    world: int = 1
    hard: tuple[int, ...] = ()
    hard_share: float = 0.0

    def __getitem__(self, step: int) -> Batch:
        size = self.size_of(step)
        return collate([self.example(position, size) for position in self.positions(step)])

    def size_of(self, step: int) -> tuple[int, int]:
        """The (width, height) of a step's images."""
        return self.sizes[np.random.default_rng((self.seed, 1, step // self.hold)).integers(len(self.sizes))]

    def positions(self, step: int) -> range:
        """What a step shows on this process: positions in the endless sequence of shuffled epochs."""
        first = (step * self.world + self.rank) * self.batch
        return range(first, first + self.batch)

    def example(self, position: int, size: tuple[int, int]) -> Example:
        """The view of that position in the endless sequence of shuffled epochs, at a size (width, height)."""
        loaded: dict[int, Example] = {}

        def image_size(index: int) -> tuple[int, int]:
            loaded[index] = load_example(self.samples[index])
            return loaded[index].size

        plan = self.plan(position, size, image_size)
        image = np.empty((size[1], size[0], 3), np.uint8)
        for piece in plan.pieces:
            x, y, width, height = piece.tile
            image[y : y + height, x : x + width] = render(loaded[piece.index].image, piece.view)
        return Example(apply_effects(image, plan.effects), plan.truth)

    def plan(self, position: int, size: tuple[int, int], image_size: Callable[[int], tuple[int, int]]) -> Plan:
        """All chance of :meth:`example`; ``image_size`` gives the (width, height) of the image of an index."""
        rng = np.random.default_rng((self.seed, 2, position))
        chosen = [self._index(position)]
        tiles: tuple[tuple[int, int, int, int], ...] = ((0, 0, *size),)
        if rng.random() < self.views.mosaic:
            tiles = mosaic_tiles(size, rng)
            chosen += [int(index) for index in rng.integers(len(self.samples), size=3)]
        pieces = tuple(self._piece(index, tile, image_size, rng) for index, tile in zip(chosen, tiles, strict=True))
        truth = join([piece.view.truth for piece in pieces], tiles, size) if len(pieces) > 1 else pieces[0].view.truth
        return Plan(pieces, truth, draw_effects(View(np.eye(2, 3), size, truth), self.augmentation, rng))

    def _index(self, position: int) -> int:
        if self.hard:
            # Chance of its own: the views of the other positions stay what they are without hard images.
            rng = np.random.default_rng((self.seed, 3, position))
            if rng.random() < self.hard_share:
                return self.hard[rng.integers(len(self.hard))]
        epoch, place_in_epoch = divmod(position, len(self.samples))
        return int(shuffled(self.seed, epoch, len(self.samples))[place_in_epoch])

    def _piece(
        self,
        index: int,
        tile: tuple[int, int, int, int],
        image_size: Callable[[int], tuple[int, int]],
        rng: Generator,
    ) -> Piece:
        sample = self.samples[index]
        known = Boxes(sample.boxes, sample.class_ids, sample.ignored)
        return Piece(index, tile, draw_view(known, image_size(index), tile[2:], self.views, rng))


@dataclass(frozen=True)
class ValidationSet(Dataset[Batch]):
    """Item ``i`` is the i-th batch of letterboxed images, as detection will see them."""

    samples: Sequence[Sample]
    batch: int
    size: tuple[int, int]
    letter_box: bool

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch)

    def __getitem__(self, index: int) -> Batch:
        samples = self.samples[index * self.batch : (index + 1) * self.batch]
        return collate([self._letterboxed(load_example(sample)) for sample in samples])

    def example(self, index: int) -> Example:
        """One image as detection sees it."""
        return self._letterboxed(load_example(self.samples[index]))

    def _letterboxed(self, example: Example) -> Example:
        box = Letterbox.fit(example.size, self.size, self.letter_box)
        matrix = np.array([[box.scale[0], 0, box.offset[0]], [0, box.scale[1], box.offset[1]]], np.float64)
        return Example(box.apply(example.image), see(example.truth, example.size, matrix, self.size).truth)


_orders: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of an epoch: the numbers below ``count``, shuffled."""
    key = (seed, epoch, count)
    if key not in _orders:
        if len(_orders) > 4:
            _orders.clear()
        _orders[key] = np.random.default_rng((seed, 0, epoch)).permutation(count)
    return _orders[key]


def load_example(sample: Sample) -> Example:
    """Read a sample's image, as detection does: its boxes are those of the upright picture.

    Raises:
        MediaError: the image cannot be decoded.
    """
    return Example(read_image(sample.image), Boxes(sample.boxes, sample.class_ids, sample.ignored))


def collate(examples: Sequence[Example]) -> Batch:
    """Examples of one size -> a batch."""
    images = torch.from_numpy(np.stack([example.image for example in examples])).permute(0, 3, 1, 2)
    return Batch(images, *collate_truths([example.truth for example in examples]))


def collate_truths(truths: Sequence[Boxes]) -> tuple[Tensor, Tensor]:
    """The ``truths`` and ``ignored`` of a :class:`Batch`."""
    boxes = _pad([np.column_stack([truth.boxes, truth.class_ids]) for truth in truths], 5)
    return boxes, _pad([truth.ignored for truth in truths], 4)


def _pad(rows: Sequence[NDArray[np.floating]], columns: int) -> Tensor:
    padded = np.zeros((len(rows), max(1, *(len(row) for row in rows)), columns), np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)
