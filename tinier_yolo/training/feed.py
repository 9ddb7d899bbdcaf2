"""The images of a run: what the .data file names, and the batches of any iterations."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from tinier_yolo.darknet.layers import BatchNorm, Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.labels import Sample, load_data, load_samples
from tinier_yolo.errors import DataError, MediaError
from tinier_yolo.training.augment import Augmentation
from tinier_yolo.training.check_images import check_images
from tinier_yolo.training.dataset import Batch, TrainingSet, ValidationSet
from tinier_yolo.training.emphasis import correct, digest, load_hard
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.processes import Processes
from tinier_yolo.training.views import Views

#: Batches that each worker prepares ahead.
_BATCHES_AHEAD = 4

Item = TypeVar("Item")


@dataclass(frozen=True)
class Feed:
    """Training and validation images of a run.

    Attributes:
        training: one item a subdivision of a step.
        validation: letterboxed images; without any where the .data file has no valid list.
        subdivisions: how many items make a step.
        workers: processes that prepare them.
        emphasis: what a run must share with its checkpoint beside the cfg: the files of :mod:`.emphasis` by their
            digests, None where there is none.
    """

    training: TrainingSet
    validation: ValidationSet
    subdivisions: int
    workers: int
    emphasis: Mapping[str, object]

    @classmethod
    def load(cls, network: Network, options: TrainingOptions, processes: Processes) -> Feed:
        """Read the lists and labels.

        Raises:
            DataError: no train list, other classes than the cfg's, a bad list or label, hard images or corrections that
                do not fit the list.
        """
        data, net = load_data(options.data), network.options
        classes = len(data.class_names)
        if data.train is None:
            raise DataError("no train list", path=data.path, expected="train = FILE")
        if classes != network.region.classes:
            raise DataError("classes differ from the cfg's", path=data.path, expected=network.region.classes)
        samples = load_samples(data.train, classes)
        held_out: tuple[Sample, ...] = load_samples(data.valid, classes) if data.valid else ()
        hard = load_hard(options.hard, samples, data.train) if options.hard else frozenset()
        if options.corrections:
            samples = correct(options.corrections, samples, data.train)
        quiet = not processes.is_first
        samples, held_out = (
            check_images(some, options.skip_bad, quiet) if some else () for some in (samples, held_out)
        )
        training = TrainingSet(
            samples,
            net.batch // (net.subdivisions * processes.world),
            sizes_of(network),
            options.views or Views.of(net, network.region.jitter),
            options.augmentation or Augmentation.of(net),
            seed=options.seed,
            hold=10 * net.subdivisions,
            rank=processes.rank,
            world=processes.world,
            hard=tuple(index for index, sample in enumerate(samples) if sample.image in hard),
            hard_share=options.hard_share,
        )
        validation = ValidationSet(held_out, 16, (net.width, net.height), net.letter_box)
        largest = 3 * max(width * height for width, height in training.sizes) * training.batch
        return cls(
            training, validation, net.subdivisions, affordable_workers(largest, options.workers), _emphasis(options)
        )

    @property
    def counts(self) -> tuple[int, int]:
        """Images for training and for validation."""
        return len(self.training.samples), len(self.validation.samples)

    @property
    def identity(self) -> Mapping[str, object]:
        """What a run must share with its checkpoint beside cfg and options."""
        training = self.training
        shown = {"views": asdict(training.views), "augmentation": asdict(training.augmentation)}
        return {**shown, **self.emphasis, "world": training.world}

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """This process's share of the batches of iterations ``start`` to ``stop``, a subdivision at a time.

        Raises:
            DataError: an image cannot be decoded.
        """
        steps = range(start * self.subdivisions, stop * self.subdivisions)
        return load_batches(self.training, steps, self.workers)


def load_batches(dataset: Dataset[Item], steps: range, workers: int) -> Iterator[Item]:
    """The items of a training set at ``steps``, prepared by ``workers`` processes.

    Raises:
        DataError: an image cannot be decoded.
    """
    # Chance of its own: the loader would draw from PyTorch's, which dropout draws from too, at each start.
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=_BATCHES_AHEAD if workers else None,
        generator=torch.Generator(),
        collate_fn=_as_it_is,
    )
    try:
        yield from loader
    except (DataError, MediaError) as error:
        raise _main_error(error) from error


def _as_it_is(item: Any) -> Any:
    # Arrays stay arrays, which travel from a worker at once, as tensors do not.
    return item


def _main_error(error: DataError | MediaError) -> DataError | MediaError:
    """The error of a worker as it was raised there: it comes with the worker's traceback in front."""
    message, kind = error.problem.rstrip().rpartition("\n")[2], type(error)
    return kind(message.removeprefix(f"{kind.__module__}.{kind.__name__}: ")) if "\n" in error.problem else error


def affordable_workers(batch_bytes: int, workers: int) -> int:
    """The workers, or none where their batches would not fit into shared memory: a full one kills or hangs them.

    Containers often have 64 MiB of it (Docker's ``--shm-size``).
    """
    try:
        shared = os.statvfs("/dev/shm")
    except (AttributeError, OSError):  # a system without it passes batches in another way
        return workers
    needed = batch_bytes * (workers * (_BATCHES_AHEAD + 1) + 1)
    free = shared.f_bavail * shared.f_frsize
    if workers and needed > free:
        found = f"{free / 2**20:.0f} MiB of shared memory are free in /dev/shm, {needed / 2**20:.0f} are needed"
        print(f"images are loaded in the main process: {found}", file=sys.stderr, flush=True)
        return 0
    return workers


def sizes_of(network: Network) -> tuple[tuple[int, int], ...]:
    """The input sizes of multi-scale training: from 0.7 to 1.3 times the cfg's, in steps of the stride."""
    width, height, stride = network.options.width, network.options.height, network.stride
    if not network.region.random:
        return ((width, height),)
    cells, spread = width // stride, round(0.3 * width / stride)
    return tuple(
        (stride * n, stride * max(1, round(n * height / width)))
        for n in range(max(1, cells - spread), cells + spread + 1)
    )


def check_norms(network: Network, images: int) -> None:
    """Refuse a run whose batch normalisation would see a single value, which has no variance.

    Args:
        network: of any kind.
        images: of a subdivision on one process.

    Raises:
        CfgError: a normalised map has one cell, at one of the sizes, and there is one image.
    """
    sizes = (
        sizes_of(network) if isinstance(network.layers[-1], Region) else ((network.input.width, network.input.height),)
    )
    for size in sizes if images == 1 else ():
        for layer in network.resized(*size).layers:
            normalized = isinstance(layer, BatchNorm) or getattr(layer, "batch_normalize", False)
            if normalized and layer.output.width * layer.output.height == 1:
                raise layer.section.error(
                    "batch normalisation over a single value",
                    expected="more images in a subdivision, or a larger input",
                    found=f"one image and a map of 1x1, for an input of {size[0]}x{size[1]}",
                )


def _emphasis(options: TrainingOptions) -> dict[str, object]:
    return {
        "hard images": digest(options.hard),
        "hard share": options.hard_share if options.hard else None,
        "corrections": digest(options.corrections),
    }
