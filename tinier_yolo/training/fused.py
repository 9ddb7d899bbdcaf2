"""The chain behind a convolution as one operation with its own gradient, for training on a CPU.

Pool, batch normalisation and quantiser (IFQ), or batch normalisation, activation and pool (float): one after the other
they carry every map through memory a dozen times. Here the forward pass reads the convolution's output once for the
statistics (of the pooled map, where the pool comes first) and once more for the result, and keeps a byte a value for
the way back. The convolution's channels-last memory is used as it is, in float32 or bfloat16.

Same results as the plain modules up to the rounding of sums; which of equal values wins in a pool is PyTorch's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tinier_yolo.training import fused_kernels as kernels
from tinier_yolo.training.fused_kernels_vectors import LANES

_DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Quantization:
    """Thresholds of the levels and the step between them."""

    thresholds: tuple[float, ...]
    step: float


@dataclass(frozen=True)
class Chain:
    """What stands behind a convolution.

    Attributes:
        stride: of the 2x2 pool; 0 without one.
        padding: of the pool, Darknet's: 1 lets the last windows stick out at the right and at the bottom.
        ending: the quantiser after pool and batch normalisation, or the slope of negative values (1 linear, 0 relu)
            between batch normalisation and pool.
    """

    stride: int
    padding: int
    ending: Quantization | float

    def takes(self, y: Tensor) -> bool:
        """Whether the operation can be used for a convolution's output (n, channels, h, w)."""
        n, channels, height, width = y.shape
        rows, columns = self.pooled(height, width)
        covered = self.stride != 2 or (2 * rows >= height and 2 * columns >= width)
        values = n * rows * columns
        return y.device.type == "cpu" and y.dtype in _DTYPES and channels % LANES == 0 and covered and values > 1

    def pooled(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the result."""
        if not self.stride:
            return height, width
        return (height + self.padding - 2) // self.stride + 1, (width + self.padding - 2) // self.stride + 1

    def __call__(self, y: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        """The chain's result, of y's dtype; the running statistics follow as in ``nn.BatchNorm2d``."""
        output, mean, variance = _Fused.apply(y, norm.weight, norm.bias, self, norm.eps)  # type: ignore[no-untyped-call]
        _follow(norm, mean, variance, output.numel() // output.shape[1] if self._pools_first else y[:, 0].numel())
        return output  # type: ignore[no-any-return]

    @property
    def _pools_first(self) -> bool:
        return isinstance(self.ending, Quantization)


def _follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """One step of the running mean and of the running, unbiased variance."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        norm.running_var.mul_(1 - momentum).add_(variance, alpha=momentum * count / (count - 1))


class _Fused(torch.autograd.Function):
    """(y, weight, bias) -> result, mean (channels,), biased variance (channels,)."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, chain: Chain, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = y.contiguous(memory_format=torch.channels_last)
        n, channels, height, width = y.shape
        rows, columns = chain.pooled(height, width)
        output = torch.empty_like(y[:, :, :1, :1].expand(n, channels, rows, columns), memory_format=torch.channels_last)
        flags = torch.empty(output.numel(), dtype=torch.uint8)
        values = y  # what the batch normalisation's gradient needs where the activation's is taken
        small, large = (rows, columns, channels), (height, width, channels, chain.stride, rows, columns)
        shift = _flat(y[0, :, 0, 0].float().contiguous())
        if isinstance(chain.ending, Quantization) and chain.stride:
            values = torch.empty_like(output)
            sums = _run(n, kernels.pool_and_sum, _flat(y), _flat(values), flags.numpy(), shift, _Sums(channels), *large)
        else:
            sums = _run(n, kernels.sum_up, _flat(y), shift, _Sums(channels), height, width, channels)
        mean, variance = _moments(sums, shift, values.numel() // channels)
        deviation = np.sqrt(variance + epsilon)
        scale = weight.detach().double().numpy() / deviation
        affine = scale.astype(np.float32), (bias.detach().double().numpy() - mean * scale).astype(np.float32)
        if isinstance(chain.ending, Quantization):
            thresholds = np.array(chain.ending.thresholds, np.float32)
            top = np.float32(len(thresholds) * chain.ending.step)
            rest = (*affine, thresholds, top)
            _run(
                n,
                kernels.quantize,
                _flat(values),
                _flat(output),
                flags.numpy(),
                bool(chain.stride),
                *rest,
                None,
                *small,
            )
        elif chain.stride:
            values = torch.empty_like(output)
            into = _flat(output), _flat(values), flags.numpy()
            _run(n, kernels.activate_and_pool, _flat(y), *into, *affine, np.float32(chain.ending), None, *large)
        else:
            _run(
                n,
                kernels.activate,
                _flat(y),
                _flat(output),
                flags.numpy(),
                *affine,
                np.float32(chain.ending),
                None,
                *small,
            )
        # The float chain's gradient needs all of y, the quantised one's the winners only.
        kept = values if isinstance(chain.ending, Quantization) else y
        ctx.save_for_backward(values, kept, flags)
        ctx.chain, ctx.mean, ctx.deviation, ctx.scale, ctx.size = chain, mean, deviation, scale, (n, *large)
        moments = torch.from_numpy(mean).to(weight.dtype), torch.from_numpy(variance).to(weight.dtype)
        ctx.mark_non_differentiable(*moments)
        return output, *moments

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        values, y, flags = ctx.saved_tensors
        chain = ctx.chain
        n, height, width, channels, stride, rows, columns = ctx.size
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        quantised = isinstance(chain.ending, Quantization)
        slopes = (1 / chain.ending.step, 0) if quantised else (1, chain.ending)
        high, low = (np.float32(slope) for slope in slopes)
        mean32 = ctx.mean.astype(np.float32)
        read = _flat(gradient), _flat(values), flags.numpy()
        sums = _run(n, kernels.sum_gradients, *read, mean32, high, low, _Sums(channels), rows, columns, channels)
        count = values.numel() // channels if quantised else n * height * width
        total, product = sums[:channels], sums[channels:]
        tilt = -ctx.scale * product / (ctx.deviation**2 * count)
        level = -ctx.scale * total / count
        batch_norm = np.concatenate([ctx.scale, ctx.mean, tilt, level]).astype(np.float32)
        result = torch.empty((n, channels, height, width), dtype=gradient.dtype, memory_format=torch.channels_last)
        size = height, width, channels, stride, rows, columns
        spread = kernels.spread if quantised or not stride else kernels.spread_all
        into = _flat(gradient), _flat(y), flags.numpy(), _flat(result), batch_norm, high, low
        _run(n, spread, *into, None, *size)
        weight = torch.from_numpy((product / ctx.deviation).astype(np.float32))
        return result, weight, torch.from_numpy(total.astype(np.float32)), None, None


def _moments(sums: NDArray[np.float64], shift: NDArray[np.float32], count: int) -> tuple[NDArray[np.float64], ...]:
    """Mean and biased variance of each channel, out of the sums about ``shift``."""
    offset, square = sums.reshape(2, -1) / count
    return shift + offset, np.maximum(square - offset**2, 0)


def _flat(tensor: Tensor) -> NDArray[Any]:
    """The memory of a channels-last map (or of a vector) without a copy; bfloat16 as uint16."""
    tensor = tensor.detach()
    flat = tensor.permute(0, 2, 3, 1).reshape(-1) if tensor.ndim == 4 else tensor
    return np.asarray(flat.view(torch.uint16).numpy() if flat.dtype == torch.bfloat16 else flat.numpy())


class _Sums:
    """Stands for float64 sums (2 x channels) among a kernel's arguments: every thread gets its own."""

    def __init__(self, channels: int) -> None:
        self.size = 2 * channels


def _run(images: int, kernel: Callable[..., None], *arguments: Any) -> NDArray[np.float64]:
    """Run a kernel over all images, a share a thread, and add up the sums.

    The range of images goes behind the sums, or to where ``None`` stands if there are none.
    """
    place = next(i for i, argument in enumerate(arguments) if argument is None or isinstance(argument, _Sums))
    before, sums, after = arguments[:place], arguments[place], arguments[place + 1 :]
    threads = min(torch.get_num_threads(), images)

    def share(thread: int) -> NDArray[np.float64]:
        own = np.zeros(sums.size if sums is not None else 0)
        part = images * thread // threads, images * (thread + 1) // threads
        kernel(*before, *(() if sums is None else (own,)), *part, *after)
        return own

    if threads == 1:
        return share(0)
    shares = list(_pool(threads).map(share, range(threads)))
    return np.asarray(np.sum(shares, axis=0))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
