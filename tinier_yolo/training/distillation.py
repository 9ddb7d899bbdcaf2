"""Distillation: a detector learns from the maps of another one as well as from labels (Hinton et al. 2015).

A label says that here is a face and nowhere else. A larger or more exact network says of every cell how sure one can
be, and gives its box where a label gives none. What is learned from it is weighed by how sure it is (Mehta and Ozturk
2018, "Object detection at 200 frames per second"):

- objectness: binary cross-entropy towards the teacher's score, times a factor between ``noobject_scale`` and
  ``object_scale``, the nearer to the latter the higher the score;
- boxes: complete IoU with the teacher's, times its score and ``coord_scale``, where that is above ``LEAST_SCORE``;
- classes: cross-entropy towards the teacher's softmax, in the same places, times its score and ``class_scale``.

Sums over cells, divided by the number of images, as in :mod:`tinier_yolo.training.region_loss`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import parse_weights, read_weights
from tinier_yolo.errors import UsageError
from tinier_yolo.training.devices import autocast_for
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.region_loss import complete_iou, decode_boxes

LEAST_SCORE = 0.1


class Teacher:
    """A trained detector whose maps another one learns from.

    Attributes:
        share: of the loss that comes from the teacher, 0 to 1; the labels have the rest.
        identity: by which a run knows it again: the SHA-256 of its cfg and weights, and the share.
    """

    def __init__(
        self, cfg: Path, weights: Path, share: float, student: Network, device: torch.device, precision: str
    ) -> None:
        """Read a teacher.

        Raises:
            TinierYoloError: a bad cfg or weights.
            UsageError: the maps of teacher and student do not mean the same.
        """
        network = Network.load(cfg)
        for one, path in ((student, student.path), (network, cfg)):
            if one.is_classifier:
                raise UsageError("a teacher is for detectors", path=path, expected="[region]", found="a classifier")
        for what in ("anchors", "classes", "softmax"):
            expected, found = getattr(student.region, what), getattr(network.region, what)
            if expected != found:
                raise UsageError(f"a teacher with other {what}", path=cfg, expected=expected, found=found)
        if network.stride != student.stride:
            raise UsageError("a teacher of another stride", path=cfg, expected=student.stride, found=network.stride)
        data = read_weights(weights, network)
        self.share, self._region, self._device, self._precision = share, student.region, device, precision
        self.identity = [hashlib.sha256(content).hexdigest() for content in (network.text.encode(), data)] + [share]
        with torch.random.fork_rng([]):  # the student's random weights do not depend on there being a teacher
            self._model = DarknetModel(network).eval().to(device)
        self._model.load_parameters(parse_weights(data, network, weights))

    def mix(self, loss: Tensor, images: Tensor, output: Tensor) -> Tensor:
        """The labels' loss and the teacher's, each with its share.

        Args:
            loss: scalar, of the labels.
            images: uint8 (n, 3, height, width), on the teacher's device.
            output: float32 (n, anchors * (5 + classes), h, w), the student's map of them.
        """
        with torch.no_grad(), autocast_for(self._precision, self._device):
            taught = self._model(images)
        return (1 - self.share) * loss + self.share * self.loss(taught.float(), output)

    def loss(self, taught: Tensor, output: Tensor) -> Tensor:
        """What the student's map lacks to be the teacher's, a scalar; float32 maps of one shape."""
        region = self._region
        n, _, height, width = output.shape
        anchors = torch.tensor(region.anchors, device=output.device) / torch.tensor(
            [width, height], device=output.device
        )
        goal, mine = (map_.view(n, len(anchors), -1, height, width) for map_ in (taught, output))
        score = goal[:, :, 4].sigmoid()
        weight = region.noobject_scale + (region.object_scale - region.noobject_scale) * score
        objectness = functional.binary_cross_entropy_with_logits(mine[:, :, 4], score, weight, reduction="sum")
        sure = torch.nonzero(score > LEAST_SCORE, as_tuple=True)
        _, complete = complete_iou(decode_boxes(mine, anchors)[sure], decode_boxes(goal, anchors)[sure])
        loss = objectness + ((1 - complete) * score[sure]).sum() * region.coord_scale
        if region.classes > 1:
            own, its = (map_.movedim(2, -1)[sure][:, 5:] for map_ in (mine, goal))
            classes = functional.cross_entropy(own, its.softmax(-1), reduction="none")
            loss = loss + (classes * score[sure]).sum() * region.class_scale
        return loss / n
