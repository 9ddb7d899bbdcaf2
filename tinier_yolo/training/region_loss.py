"""The loss of [region].

The decode is Darknet's (sigmoid offsets, exponential sizes, objectness), so that the trained network is a YOLOv2. The
loss is not Darknet's sum of squares, which trains slower:

- a face belongs to the cell of its centre and there to its best anchor, and to every other anchor whose shape has an
  IoU above ``SHAPE_IOU`` with it;
- boxes: complete IoU (Zheng et al. 2020, "Distance-IoU loss"), times ``coord_scale``;
- objectness: binary cross-entropy towards the IoU of the predicted box (``rescore=1``) or 1, times ``object_scale``
  and ``noobject_scale``; no penalty where a prediction overlaps a face by more than ``thresh`` without being its own,
  nor where most of it lies inside an ignored box;
- classes: cross-entropy where there are several, times ``class_scale``.

All are sums over cells, divided by the number of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tinier_yolo.darknet.layers import Region
from tinier_yolo.training.dataset import Batch
from tinier_yolo.training.model import DarknetModel, Weighted

SHAPE_IOU = 0.5
IGNORED_OVERLAP = 0.5
FACE_PRIOR = 0.01
_MAX_SIZE_LOGIT = 6.0


def expect_background(model: DarknetModel) -> None:
    """Set the last convolution's objectness biases so that an untrained network says "no face" nearly everywhere.

    Otherwise the first steps do nothing but that (Lin et al. 2017, "Focal loss", section 4.1).
    """
    region, last = model.network.region, model.children_of_layers[-2]
    if isinstance(last, Weighted) and last.biases is not None:
        with torch.no_grad():
            last.biases.view(len(region.anchors), -1)[:, 4] = math.log(FACE_PRIOR / (1 - FACE_PRIOR))


@dataclass(frozen=True)
class RegionLoss:
    """The loss of a batch and its parts.

    Attributes:
        total: scalar, to be differentiated.
        box, objectness, background, classes: its parts, detached scalars.
        iou: the sum, over the faces, of the IoU with the prediction of their best anchor.
        recall: the number of faces for which that prediction has an IoU and a score above 0.5.
        faces: how many faces there are.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    background: Tensor
    classes: Tensor
    iou: Tensor
    recall: Tensor
    faces: int


class _Assignment(NamedTuple):
    """Index tensors of the predictions that are to find a face, (p,) each; ``truth`` (p, 5) in relative units."""

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    truth: Tensor
    best: Tensor


def region_loss(output: Tensor, batch: Batch, region: Region) -> RegionLoss:
    """The loss of a last map.

    Args:
        output: float32 (n, anchors * (5 + classes), h, w): the network's last map.
        batch: the truths and ignored boxes of the same images.
        region: anchors and scales.
    """
    n, _, height, width = output.shape
    count = len(region.anchors)
    prediction = output.view(n, count, 5 + region.classes, height, width)
    anchors = torch.tensor(region.anchors) / torch.tensor([width, height])
    # Where the truths are, which is the CPU: how many there are must be known there, and a GPU need not be waited for.
    assigned = _assign(batch.truths, anchors.to(batch.truths.device), (height, width))
    faces = int(assigned.best.sum())
    assigned = _Assignment(*(tensor.to(output.device, non_blocking=True) for tensor in assigned))
    where = (assigned.image, assigned.anchor, assigned.row, assigned.column)

    boxes = decode_boxes(prediction, anchors.to(output.device, non_blocking=True))
    own = boxes[where]
    iou, complete = complete_iou(own, assigned.truth[:, :4])
    logits = prediction[:, :, 4]
    target = iou.detach().clamp(0) if region.rescore else torch.ones_like(iou)
    found = functional.binary_cross_entropy_with_logits(logits[where], target, reduction="sum")
    background = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
    with torch.no_grad():
        free = _background(boxes, batch, region.thresh)
        free[where] = torch.zeros((), dtype=torch.bool, device=free.device)
    box = (1 - complete).sum() * region.coord_scale / n
    objectness = found * region.object_scale / n
    empty = (background * free).sum() * region.noobject_scale / n
    classes = _class_loss(prediction, where, assigned.truth[:, 4].long()) * region.class_scale / n
    with torch.no_grad():
        best = assigned.best.float()
        recall = (((iou > 0.5) & (logits[where] > 0)) * best).sum()
    return RegionLoss(
        box + objectness + empty + classes,
        box.detach(),
        objectness.detach(),
        empty.detach(),
        classes.detach(),
        (iou.detach() * best).sum(),
        recall,
        faces,
    )


def decode_boxes(prediction: Tensor, anchors: Tensor) -> Tensor:
    """(n, a, 5 + c, h, w) -> boxes (n, a, h, w, 4), cx cy w h relative to the input."""
    _, _, _, height, width = prediction.shape
    columns = torch.arange(width, device=prediction.device).view(1, 1, 1, width)
    rows = torch.arange(height, device=prediction.device).view(1, 1, height, 1)
    x = (prediction[:, :, 0].sigmoid() + columns) / width
    y = (prediction[:, :, 1].sigmoid() + rows) / height
    sizes = prediction[:, :, 2:4].clamp(max=_MAX_SIZE_LOGIT).exp() * anchors.view(1, -1, 2, 1, 1)
    return torch.stack([x, y, sizes[:, :, 0], sizes[:, :, 1]], -1)


def _assign(truths: Tensor, anchors: Tensor, grid: tuple[int, int]) -> _Assignment:
    height, width = grid
    image, slot = torch.nonzero(truths[:, :, 2] > 0, as_tuple=True)
    truth = truths[image, slot]
    column = (truth[:, 0] * width).long().clamp(0, width - 1)
    row = (truth[:, 1] * height).long().clamp(0, height - 1)
    overlap = torch.minimum(truth[:, None, 2:4], anchors).prod(-1)
    shape_iou = overlap / (truth[:, 2:4].prod(-1)[:, None] + anchors.prod(-1) - overlap)
    best = shape_iou == shape_iou.max(1, keepdim=True).values
    index, anchor = torch.nonzero(best | (shape_iou > SHAPE_IOU), as_tuple=True)
    is_best = best[index, anchor]
    # Two faces may want one prediction: the one whose best anchor it is gets it, then the one listed first.
    cell = ((image[index] * len(anchors) + anchor) * height + row[index]) * width + column[index]
    order = torch.argsort(cell * 2 + (~is_best).long(), stable=True)
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = cell[order][1:] != cell[order][:-1]
    chosen = order[first]
    index, anchor = index[chosen], anchor[chosen]
    return _Assignment(image[index], anchor, row[index], column[index], truth[index], is_best[chosen])


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return boxes[..., :2] - boxes[..., 2:4] / 2, boxes[..., :2] + boxes[..., 2:4] / 2


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    (a_low, a_high), (b_low, b_high) = _corners(a), _corners(b)
    return (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(0).prod(-1)


def complete_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and complete IoU of boxes (p, 4), pair by pair."""
    inside = _intersection(a, b)
    iou = inside / (a[:, 2:].prod(-1) + b[:, 2:].prod(-1) - inside).clamp(1e-9)
    (a_low, a_high), (b_low, b_high) = _corners(a), _corners(b)
    hull = torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)
    distance = (a[:, :2] - b[:, :2]).square().sum(-1) / hull.square().sum(-1).clamp(1e-9)
    shape = (torch.atan(b[:, 2] / b[:, 3]) - torch.atan(a[:, 2] / a[:, 3])).square() * (4 / math.pi**2)
    with torch.no_grad():
        weight = shape / (1 - iou + shape).clamp(1e-9)
    return iou, iou - distance - weight * shape


def _background(boxes: Tensor, batch: Batch, thresh: float) -> Tensor:
    """Which predictions are to say "no face": (n, a, h, w) bool."""
    flat = boxes.flatten(1, 3)[:, :, None]
    area = flat[..., 2:].prod(-1)
    truths, ignored = (boxes_.to(boxes.device)[:, None] for boxes_ in (batch.truths[..., :4], batch.ignored))
    inside = _intersection(flat, truths)
    iou = inside / (area + truths[..., 2:].prod(-1) - inside).clamp(1e-9)
    hidden = _intersection(flat, ignored) / area.clamp(1e-9)
    free = (iou <= thresh).all(-1) & (hidden <= IGNORED_OVERLAP).all(-1)
    return free.view(boxes.shape[:-1])


def _class_loss(prediction: Tensor, where: tuple[Tensor, ...], truth: Tensor) -> Tensor:
    if prediction.shape[2] == 6:  # one class: its softmax is 1
        return prediction.new_zeros(())
    image, anchor, row, column = where
    return functional.cross_entropy(prediction[image, anchor, 5:, row, column], truth, reduction="sum")
