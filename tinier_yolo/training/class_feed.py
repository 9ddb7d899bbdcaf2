"""The images of a classifier's run, and the batches of any iterations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tinier_yolo.classification.crop import centre_crop
from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.classes import ClassImages, load_class_data
from tinier_yolo.errors import DataError, UsageError
from tinier_yolo.training.augment import Image
from tinier_yolo.training.class_views import ClassViews, covered, cut_out, moved, recoloured
from tinier_yolo.training.dataset import shuffled
from tinier_yolo.training.feed import affordable_workers, load_batches
from tinier_yolo.training.held_images import HeldImages, hold, shrunk
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.processes import Processes

#: Images of a batch in validation.
_VALIDATION_BATCH = 100


class ClassBatch(NamedTuple):
    """Images and their classes.

    Attributes:
        images: uint8 (n, 3, height, width), RGB.
        class_ids: int64 (n,).
    """

    images: Tensor
    class_ids: Tensor


@dataclass(frozen=True, eq=False)
class ClassTrainingSet(Dataset[ClassBatch]):
    """Item ``i`` is the batch of step ``i``: shuffled by epoch, every image shown by chance; a function of seed and i.

    Attributes:
        images: the images.
        class_ids: int64 (n,).
        batch: images a step on this process.
        size: (width, height) of the input.
        views: how images are shown.
        rank: this process, of ``world`` that share each step's images.
    """

    images: HeldImages
    class_ids: NDArray[np.int64]
    batch: int
    size: tuple[int, int]
    views: ClassViews
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __getitem__(self, step: int) -> ClassBatch:
        indices = self.indices(step)
        rng = np.random.default_rng((self.seed, 4, step, self.rank))
        views = self.views
        images = [self.images[index] for index in indices.tolist()]
        # By the images alone: how they are kept in memory differs from machine to machine.
        fit = views.longest == min(self.size) and all(image.shape[:2] == self.size[::-1] for image in images)
        if views.moves and fit:
            pixels = moved(np.stack(images), views, rng)
        else:
            pixels = np.stack([cut_out(image, self.size, views, rng) for image in images])
        if views.recolours:
            pixels = np.stack([recoloured(image, views, rng) for image in pixels])
        if views.cutout:
            pixels = covered(pixels, views.cutout, rng)
        return _batch(pixels, self.class_ids[indices])

    def indices(self, step: int) -> NDArray[np.int64]:
        """The images of a step on this process, (batch,)."""
        first, count = (step * self.world + self.rank) * self.batch, len(self.class_ids)
        positions = range(first, first + self.batch)
        return np.array([shuffled(self.seed, at // count, count)[at % count] for at in positions], np.int64)


@dataclass(frozen=True, eq=False)
class ClassValidationSet(Dataset[ClassBatch]):
    """Item ``i`` is the i-th batch of images as classification sees them: the middle, scaled to the input."""

    images: HeldImages
    class_ids: NDArray[np.int64]
    size: tuple[int, int]

    def __len__(self) -> int:
        return -(-len(self.class_ids) // _VALIDATION_BATCH)

    def __getitem__(self, index: int) -> ClassBatch:
        numbers = range(index * _VALIDATION_BATCH, min((index + 1) * _VALIDATION_BATCH, len(self.class_ids)))
        pixels = np.stack([centre_crop(self.images[number], self.size) for number in numbers])
        return _batch(pixels, self.class_ids[numbers.start : numbers.stop])


def _batch(pixels: Image, class_ids: NDArray[np.int64]) -> ClassBatch:
    return ClassBatch(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2), torch.from_numpy(class_ids))


@dataclass(frozen=True)
class ClassFeed:
    """Training and validation images of a run.

    Attributes:
        training: one item a subdivision of a step.
        validation: without any where the data names none.
        subdivisions: how many items make a step.
        workers: processes that prepare them.
    """

    training: ClassTrainingSet
    validation: ClassValidationSet
    subdivisions: int
    workers: int

    @classmethod
    def load(cls, network: Network, options: TrainingOptions, processes: Processes) -> ClassFeed:
        """Read the lists and the images.

        Raises:
            DataError: no training images, other classes than the cfg's, a bad list or image.
            UsageError: an option that only a detector's training has.
        """
        _refuse_detection_options(options)
        data, net = load_class_data(options.data), network.options
        if len(data.labels) != network.classes:
            found = len(data.labels)
            raise DataError("classes differ from the cfg's", path=data.path, expected=network.classes, found=found)
        size, views = (net.width, net.height), ClassViews.of(network)
        quiet = not processes.is_first
        images, class_ids = _hold(data.load_train(), max(views.longest, *size), options.skip_bad, quiet)
        held_out, their_ids = _hold(data.load_valid(), max(size), options.skip_bad, quiet)
        training = ClassTrainingSet(
            images,
            class_ids,
            net.batch // (net.subdivisions * processes.world),
            size,
            views,
            seed=options.seed,
            rank=processes.rank,
            world=processes.world,
        )
        workers = affordable_workers(3 * size[0] * size[1] * training.batch, options.workers)
        return cls(training, ClassValidationSet(held_out, their_ids, size), net.subdivisions, workers)

    @property
    def counts(self) -> tuple[int, int]:
        """Images for training and for validation."""
        return len(self.training.class_ids), len(self.validation.class_ids)

    @property
    def identity(self) -> Mapping[str, object]:
        """What a run must share with its checkpoint beside cfg and options."""
        return {"views": asdict(self.training.views), "world": self.training.world, "images": self.counts[0]}

    def batches(self, start: int, stop: int) -> Iterator[ClassBatch]:
        """This process's share of the batches of iterations ``start`` to ``stop``, a subdivision at a time.

        Raises:
            DataError: an image cannot be decoded.
        """
        steps = range(start * self.subdivisions, stop * self.subdivisions)
        return load_batches(self.training, steps, self.workers)


def _hold(found: ClassImages, shortest: int, skip_bad: bool, quiet: bool) -> tuple[HeldImages, NDArray[np.int64]]:
    held, good = hold(found.images, partial(shrunk, shortest=shortest), skip_bad, quiet)
    return held, found.class_ids[good]


def _refuse_detection_options(options: TrainingOptions) -> None:
    for name, value in (("--hard", options.hard), ("--corrections", options.corrections)):
        if value is not None:
            raise UsageError(f"{name} is for detectors", found="the cfg of a classifier")
