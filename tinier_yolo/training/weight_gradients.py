"""The gradient of a convolution's weights on a CPU, by whichever way is the quickest for its shape."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: From so many channels on one large matrix product beats oneDNN's loops, the copy into columns included.
_CHANNELS_FOR_GEMM = 128


def convolution_gradients(
    gradient: Tensor, x: Tensor, weights: Tensor, stride: int, padding: int, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and of the weights, each where it is needed.

    Args:
        gradient: (n, filters, h, w), of the convolution's output.
        x: (n, channels, height, width).
        weights: (filters, channels, size, size).
        stride: of the convolution.
        padding: of the convolution.
        needs: which of the two gradients to compute.
    """
    of_x, of_weights = needs
    by_product = of_weights and _takes_product(weights, stride, padding)
    mask = [of_x, of_weights and not by_product, False]
    dx, dw = None, None
    if any(mask):
        dx, dw, _ = torch.ops.aten.convolution_backward(
            gradient, x, weights, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask
        )
    return dx, _by_product(gradient, x, weights.shape[2]) if by_product else dw


def _takes_product(weights: Tensor, stride: int, padding: int) -> bool:
    size = weights.shape[2]
    return stride == 1 and size in (1, 3) and padding == size // 2 and weights.shape[1] >= _CHANNELS_FOR_GEMM


def _by_product(gradient: Tensor, x: Tensor, size: int) -> Tensor:
    n, channels, height, width = x.shape
    filters = gradient.shape[1]
    columns = x.permute(0, 2, 3, 1)
    if size == 3:
        framed = functional.pad(columns, (0, 0, 1, 1, 1, 1))
        image, line, pixel, _ = framed.stride()
        columns = framed.as_strided((n, height, width, 3, 3, channels), (image, line, pixel, line, pixel, 1))
    product = gradient.permute(0, 2, 3, 1).reshape(-1, filters).t() @ columns.reshape(-1, size * size * channels)
    return product.view(filters, size, size, channels).permute(0, 3, 1, 2)
