"""The quantisers of HWGQ-Net as PyTorch operations with straight-through gradients.

Forward they do what :mod:`tinier_yolo.quantization.hwgq` says, whose thresholds and steps they take. Maps travel as
levels (whole numbers in a float tensor), so that a binary convolution of them is exact in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tinier_yolo.quantization.hwgq import Quantizer


class _Sign(torch.autograd.Function):
    """+1 where the weight is >= 0, else -1; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor) -> Tensor:  # noqa: ARG004
        return torch.where(weights >= 0, 1.0, -1.0).to(weights.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return gradients[0]


class _Levels(torch.autograd.Function):
    """How many thresholds a value exceeds; the gradient passes, over the step, inside [0, (2^k - 1) step]."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, thresholds: tuple[float, ...], step: float) -> Tensor:
        ctx.save_for_backward((values >= 0) & (values <= len(thresholds) * step))
        ctx.step = step
        levels = (values > thresholds[0]).to(values.dtype)
        for threshold in thresholds[1:]:
            levels += values > threshold
        return levels

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside / ctx.step, None, None


def binary_sign(weights: Tensor) -> Tensor:
    """Latent weights -> +1/-1 of the same shape; sign(0) = +1. Straight-through gradient."""
    return _Sign.apply(weights)  # type: ignore[no-any-return, no-untyped-call]


def filter_scale(weights: Tensor) -> Tensor:
    """alpha, (filters,): the mean magnitude of each filter's latent weights (filters, ...)."""
    return weights.abs().flatten(1).mean(1)


def quantize_levels(values: Tensor, quantizer: Quantizer) -> Tensor:
    """Values -> levels 0..2^k - 1 of the same shape and dtype, by strict comparison with the thresholds."""
    return _Levels.apply(values, quantizer.thresholds, quantizer.step)  # type: ignore[no-any-return, no-untyped-call]
