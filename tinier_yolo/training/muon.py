"""Muon: steps of whole filters whose matrix has been made orthogonal (Jordan and others 2024).

A step of SGD moves a convolution's filters along the few directions in which its gradient is large. Muon brings all
directions of the gradient's momentum to one length first, so that the network learns from the others as well: it takes
fewer images to the same accuracy. See https://kellerjordan.github.io/posts/muon/.

It is for weights whose size does not matter because a batch normalisation follows. A step turns them and leaves their
size as it is, in place of weight decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

#: Of x -> a x + b x^3 + c x^5, whose repetition brings all of 0.01..1 near 1; from the article above.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_REPETITIONS = 5
_SMALLEST = 1e-12


class Muon(torch.optim.Optimizer):
    """Orthogonal steps of some weights, and another optimiser for all other parameters.

    Whoever sets the learning rate sets it for all groups; the orthogonal steps have ``ratio`` times as much: the part
    of its own length by which a weight array of full rank moves.
    """

    def __init__(
        self, weights: Sequence[nn.Parameter], ratio: float, momentum: float, others: torch.optim.Optimizer
    ) -> None:
        rate = others.param_groups[0]["lr"]
        super().__init__([{"params": list(weights)}], {"lr": rate, "ratio": ratio, "momentum": momentum})
        self.others = others
        # One state and one list of groups, so that a schedule and a checkpoint see them all.
        self.param_groups += others.param_groups
        others.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of all parameters that have a gradient."""
        group = self.param_groups[0]
        for weights in group["params"]:
            if weights.grad is not None:
                self._turn(weights, weights.grad, group)
        self.others.step(closure)

    def _turn(self, weights: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[weights], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weights)
        velocity = state["momentum_buffer"].mul_(momentum).add_(gradient)
        direction = orthogonal(gradient.add(velocity, alpha=momentum).flatten(1)).view_as(weights)
        size = weights.norm()
        length = group["lr"] * group["ratio"] / math.sqrt(min(len(weights), weights[0].numel()))
        weights.sub_(direction * (size * length))
        weights.mul_(size / weights.norm().clamp_min(_SMALLEST))


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all about 1 (0.7 to 1.2), by Newton-Schulz steps.

    Args:
        matrix: (rows, columns).

    Returns:
        The same shape; zeros for zeros.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = _QUINTIC
    x: Tensor = matrix / matrix.norm().clamp_min(_SMALLEST)
    for _ in range(_REPETITIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x
