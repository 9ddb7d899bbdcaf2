"""The numbers of a run: sums over batches, their means, and the validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tinier_yolo.training.dataset import Batch, ValidationSet
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.region_loss import RegionLoss, region_loss

TRAINING_COLUMNS = ("iteration", "learning_rate", "loss", "box", "objectness", "background", "iou", "recall")
VALIDATION_COLUMNS = ("iteration", "loss", "iou", "recall")
_OF_LOSS = ("loss", "box", "objectness", "background")
_OF_FACES = ("iou", "recall")


def tensors_of(loss: RegionLoss, weight: float = 1.0) -> dict[str, Tensor]:
    """The summands of a batch: losses times ``weight``, sums over faces, and what to divide them by."""
    parts = {"loss": loss.total, "box": loss.box, "objectness": loss.objectness, "background": loss.background}
    tensors = {name: weight * part.detach() for name, part in parts.items()}
    counts = {"faces": torch.tensor(loss.faces), "weight": torch.tensor(weight)}
    return {**tensors, "iou": loss.iou, "recall": loss.recall, **counts}


def numbers_of(loss: RegionLoss, weight: float = 1.0) -> dict[str, float]:
    """:func:`tensors_of` as numbers, for which a GPU is waited for."""
    return {name: tensor.item() for name, tensor in tensors_of(loss, weight).items()}


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """Summed :func:`numbers_of` -> losses an image, IoU and recall a face."""
    weight, faces = max(1.0, sums["weight"]), max(1.0, sums["faces"])
    return {**{name: sums[name] / weight for name in _OF_LOSS}, **{name: sums[name] / faces for name in _OF_FACES}}


def estimate_norms(model: DarknetModel, batches: Iterable[Tensor]) -> None:
    """Make the batch-norm statistics the plain mean over batches of images; the model is in evaluation mode after."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and model.estimates_norms]
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    first = True
    with torch.no_grad():
        for images in batches if norms else ():
            if first:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # the plain mean over all batches
            first = False
            model(images)
    model.eval()


def validate(model: DarknetModel, images: ValidationSet | Sequence[Batch], device: torch.device) -> dict[str, float]:
    """A detector's :func:`means` on letterboxed images; it is in training mode afterwards."""

    def measure(output: Tensor, batch: Batch) -> dict[str, float]:
        return numbers_of(region_loss(output, batch, model.network.region), len(batch.images))

    return means(validation_sums(model, images, device, measure))


class Batches(Protocol):
    """Batches by their numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def validation_sums(
    model: DarknetModel,
    images: Batches,
    device: torch.device,
    measure: Callable[[Tensor, Any], Mapping[str, float]],
) -> Counter[str]:
    """The sums of what ``measure`` gives for each batch and the model's output; it is in training mode afterwards."""
    sums: Counter[str] = Counter()
    model.eval()
    with torch.no_grad():
        for index in range(len(images)):
            batch = images[index]
            output = model(batch.images.to(device))
            sums.update(measure(output.float(), batch))
    model.train()
    return sums
