from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.conftest import REGION
from tinier_yolo.darknet.layers import Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.training.dataset import Batch
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.region_loss import FACE_PRIOR, expect_background, region_loss

NETWORK = Network.parse("[net]\nwidth=4\nheight=3\n[convolutional]\nfilters=12\nactivation=linear\n" + REGION, "x.cfg")


def batch(truths: list[list[float]], ignored: list[list[float]] | None = None) -> Batch:
    return Batch(
        torch.zeros(1, 3, 3, 4),
        torch.tensor([truths or [[0.0] * 5]]),
        torch.tensor([ignored or [[0.0] * 4]]),
    )


def raw_map(fill: float = -20.0) -> Tensor:
    """A map (1, 12, 3, 4) whose objectness is ``fill`` and whose boxes are the anchors in the cells' middles."""
    output = torch.zeros(1, 12, 3, 4)
    output[:, [4, 10]] = fill
    return output


def region() -> Region:
    return NETWORK.region


def test_a_perfect_map_has_no_loss() -> None:
    output = raw_map()
    output[0, 10, 1, 2] = 20.0
    # cell (column 2, row 1), anchor 1 (1.5 x 2 cells)
    truth = [2.5 / 4, 1.5 / 3, 1.5 / 4, 2 / 3, 0]
    loss = region_loss(output, batch([truth]), region())
    assert float(loss.total) < 1e-3
    assert (loss.faces, float(loss.recall)) == (1, 1.0)
    assert float(loss.iou) == pytest.approx(1)


def test_a_face_belongs_to_its_cell_and_best_anchor() -> None:
    output = raw_map(0.0).requires_grad_()
    truth = [2.5 / 4, 1.5 / 3, 1.5 / 4, 2 / 3, 0]
    region_loss(output, batch([truth]), region()).total.backward()
    assert output.grad is not None
    gradient = output.grad[0, [4, 10]]
    assert gradient[1, 1, 2] < 0  # asked to rise
    gradient[1, 1, 2] = 1
    assert (gradient > 0).all()  # all others asked to fall


def test_two_faces_in_one_cell_do_not_share_a_prediction() -> None:
    small, large = [2.5 / 4, 1.5 / 3, 0.6 / 4, 0.8 / 3, 0], [2.5 / 4, 1.5 / 3, 1.5 / 4, 2 / 3, 0]
    loss = region_loss(raw_map(0.0), batch([small, large]), region())
    assert loss.faces == 2
    twice = region_loss(raw_map(0.0), batch([large, large]), region())
    assert twice.faces == 1


def test_ignored_boxes_and_good_overlaps_carry_no_penalty() -> None:
    nothing = region_loss(raw_map(0.0), batch([]), region())
    assert float(nothing.background) == pytest.approx(24 * math.log(2), rel=1e-5)
    everything = region_loss(raw_map(0.0), batch([], [[0.5, 0.5, 3.0, 3.0]]), region())
    assert float(everything.background) == 0
    one = region_loss(raw_map(0.0), batch([], [[2.5 / 4, 1.5 / 3, 0.7 / 4, 0.9 / 3]]), region())
    assert float(one.background) == pytest.approx(23 * math.log(2), rel=1e-5)


def test_iou_and_its_target_match_a_plain_computation() -> None:
    rng = np.random.default_rng(0)
    output = torch.from_numpy(rng.normal(size=(1, 12, 3, 4)).astype(np.float32))
    truth = [0.4, 0.7, 0.35, 0.5, 0]
    loss = region_loss(output, batch([truth]), region())
    column, row, anchor = 1, 2, (1.5, 2.0)
    x, y, w, h, objectness = (float(value) for value in output[0, 6:11, row, column])
    cx, cy = (column + 1 / (1 + math.exp(-x))) / 4, (row + 1 / (1 + math.exp(-y))) / 3
    bw, bh = math.exp(w) * anchor[0] / 4, math.exp(h) * anchor[1] / 3

    def overlap(c: float, s: float, t: float, u: float) -> float:
        return max(0.0, min(c + s / 2, t + u / 2) - max(c - s / 2, t - u / 2))

    inside = overlap(cx, bw, truth[0], truth[2]) * overlap(cy, bh, truth[1], truth[3])
    iou = inside / (bw * bh + truth[2] * truth[3] - inside)
    assert float(loss.iou) == pytest.approx(iou, rel=1e-4)
    p = 1 / (1 + math.exp(-objectness))
    expected = -(iou * math.log(p) + (1 - iou) * math.log(1 - p))
    assert float(loss.objectness) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_is_that_of_the_loss() -> None:
    output = torch.randn(1, 12, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    truths = batch([[0.4, 0.7, 0.35, 0.5, 0], [0.8, 0.2, 0.2, 0.2, 0]])
    truths = Batch(truths.images, truths.truths.double(), truths.ignored.double())
    plain = Network.parse(NETWORK.text.replace("rescore=1", "rescore=0")).region
    step = 1e-6
    loss = region_loss(output.requires_grad_(), truths, plain)
    loss.total.backward()
    assert output.grad is not None
    for index in ((0, 6, 2, 1), (0, 8, 2, 1), (0, 10, 2, 1), (0, 4, 0, 0)):
        moved = output.detach().clone()
        moved[index] += step
        numeric = (region_loss(moved, truths, plain).total - loss.total.detach()) / step
        # The weight of complete IoU's shape term is held fixed in its gradient, as its authors do.
        assert float(output.grad[index]) == pytest.approx(float(numeric), rel=0.15, abs=1e-4)


def test_an_untrained_network_expects_no_faces() -> None:
    text = "[net]\nwidth=4\nheight=3\n[convolutional]\nfilters=12\nactivation=linear\n" + REGION
    model = DarknetModel(Network.parse(text))
    expect_background(model)
    biases = model.parameters_of_layers()[0]["biases"].reshape(2, 6)
    np.testing.assert_allclose(1 / (1 + np.exp(-biases[:, 4])), FACE_PRIOR, rtol=1e-5)
    assert (biases[:, [0, 1, 2, 3, 5]] == 0).all()
