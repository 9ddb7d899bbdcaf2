"""What training does for each kind of network: a detector ends in [region], a classifier in [softmax] or [cost]."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional

from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.classes import load_class_data
from tinier_yolo.datasets.labels import load_data
from tinier_yolo.training.class_feed import ClassBatch, ClassFeed
from tinier_yolo.training.dataset import Batch
from tinier_yolo.training.feed import Feed
from tinier_yolo.training.history import FACES
from tinier_yolo.training.measure import TRAINING_COLUMNS, VALIDATION_COLUMNS, means, numbers_of
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.preview import compare_heights, heights_table
from tinier_yolo.training.processes import Processes
from tinier_yolo.training.region_loss import region_loss


class AnyBatch(Protocol):
    """A batch of any task."""

    @property
    def images(self) -> Tensor:
        """uint8 (n, 3, height, width), RGB."""
        ...


class AnyFeed(Protocol):
    """The images of a run of any task."""

    @property
    def validation(self) -> Any:
        """Batches by their numbers, with a length of 0 where there are no images."""
        ...

    @property
    def counts(self) -> tuple[int, int]:
        """Images for training and for validation."""
        ...

    @property
    def identity(self) -> Mapping[str, object]:
        """What a run must share with its checkpoint beside cfg and options."""
        ...

    def batches(self, start: int, stop: int) -> Iterator[Any]:
        """This process's share of the batches of iterations ``start`` to ``stop``, a subdivision at a time."""
        ...


class Task(Protocol):
    """What differs."""

    @property
    def training_columns(self) -> Sequence[str]:
        """Of the CSV file; the first is ``iteration``."""
        ...

    @property
    def validation_columns(self) -> Sequence[str]:
        """Of the CSV file; the first is ``iteration``."""
        ...

    @property
    def shares(self) -> Mapping[str, str]:
        """The columns that are drawn from 0 to 1, and their colours."""
        ...

    @property
    def unit(self) -> str:
        """What these are shares of."""
        ...

    @property
    def merit(self) -> tuple[str, bool]:
        """The validation column by which the better of two networks is known, and whether more is better."""
        ...

    def load_feed(self, options: TrainingOptions, processes: Processes) -> AnyFeed:
        """The images of the run.

        Raises:
            TinierYoloError: bad data or options.
        """
        ...

    def class_names(self, options: TrainingOptions) -> tuple[str, ...]:
        """A name for each class of the data.

        Raises:
            DataError: bad data.
        """
        ...

    def measure(self, output: Tensor, batch: Any, weight: float = 1.0) -> tuple[Tensor, dict[str, float]]:
        """The loss of an image, to be differentiated, and the summands of :meth:`means`, the losses times ``weight``.

        Args:
            output: float32, the model's output map.
            batch: what the feed gave.
            weight: by which the losses count, of a subdivision or of a batch in validation.
        """
        ...

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Added summands -> the values of the columns."""
        ...

    def describe(self, row: Mapping[str, float]) -> str:
        """The measures of a row in a few words."""
        ...

    def begin(self, feed: Any) -> None:
        """Say what else there is to say of the images before the first step, on stderr."""
        ...


class DetectionTask:
    """Training of a detector."""

    training_columns, validation_columns = TRAINING_COLUMNS, VALIDATION_COLUMNS
    shares, unit = FACES, "of the faces"
    merit = ("loss", False)

    def __init__(self, network: Network) -> None:
        self._network, self._region = network, network.region

    def load_feed(self, options: TrainingOptions, processes: Processes) -> Feed:  # noqa: D102
        return Feed.load(self._network, options, processes)

    def class_names(self, options: TrainingOptions) -> tuple[str, ...]:  # noqa: D102
        return tuple(load_data(options.data).class_names)

    def measure(self, output: Tensor, batch: Batch, weight: float = 1.0) -> tuple[Tensor, dict[str, float]]:  # noqa: D102
        loss = region_loss(output, batch, self._region)
        return loss.total, numbers_of(loss, weight)

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:  # noqa: D102
        return means(sums)

    def describe(self, row: Mapping[str, float]) -> str:  # noqa: D102
        return f"loss {row['loss']:.3f} iou {row['iou']:.3f} recall {row['recall']:.3f}"

    def begin(self, feed: Feed) -> None:  # noqa: D102
        print(heights_table(compare_heights(feed, 300)), file=sys.stderr, flush=True)


class ClassificationTask:
    """Training of a classifier: cross-entropy of the softmax of its output map, which has a value for each class.

    In training towards labels that ``label_smooth_eps`` of [net] has smoothed.
    """

    training_columns = ("iteration", "learning_rate", "loss", "top1")
    validation_columns = ("iteration", "loss", "top1")
    shares, unit = {"top1": "tab:green"}, "of the images"
    merit = ("top1", True)

    def __init__(self, network: Network) -> None:
        self._network, self._classes = network, network.classes
        section = network.sections[0]
        self._smoothing = section.number("label_smooth_eps", 0.0)
        if not 0 <= self._smoothing <= 0.5:
            raise section.error("bad value", "label_smooth_eps", expected="0 <= eps <= 0.5", found=self._smoothing)

    def load_feed(self, options: TrainingOptions, processes: Processes) -> ClassFeed:  # noqa: D102
        return ClassFeed.load(self._network, options, processes)

    def class_names(self, options: TrainingOptions) -> tuple[str, ...]:  # noqa: D102
        return load_class_data(options.data).class_names

    def measure(self, output: Tensor, batch: ClassBatch, weight: float = 1.0) -> tuple[Tensor, dict[str, float]]:  # noqa: D102
        logits, class_ids = output.flatten(1), batch.class_ids.to(output.device)
        # As AlexeyAB's: 1 - eps for the class, eps over the others. PyTorch spreads its part over all classes.
        spread = self._smoothing * self._classes / max(1, self._classes - 1)
        loss = functional.cross_entropy(logits, class_ids, label_smoothing=spread if logits.requires_grad else 0.0)
        right = float((logits.detach().argmax(1) == class_ids).sum())
        return loss, {"loss": weight * float(loss.detach()), "weight": weight, "right": right, "images": len(class_ids)}

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:  # noqa: D102
        return {"loss": sums["loss"] / max(1.0, sums["weight"]), "top1": sums["right"] / max(1.0, sums["images"])}

    def describe(self, row: Mapping[str, float]) -> str:  # noqa: D102
        return f"loss {row['loss']:.3f} top-1 {row['top1']:.3f}"

    def begin(self, feed: ClassFeed) -> None:  # noqa: D102
        stack = feed.training.images.stack
        if stack is not None:
            print(f"training images are held in memory: {stack.nbytes / 2**20:.0f} MiB", file=sys.stderr, flush=True)


def task_of(network: Network) -> Task:
    """The task of a network, by its last section.

    Raises:
        CfgError: it is neither a detector nor a classifier.
    """
    return ClassificationTask(network) if network.is_classifier else DetectionTask(network)
