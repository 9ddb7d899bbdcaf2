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
from torch.nn import functional

from tinier_yolo.training import fused_kernels as kernels
from tinier_yolo.training import fused_kernels_weights as weight_kernels
from tinier_yolo.training.fused_kernels_vectors import LANES
from tinier_yolo.training.weight_gradients import convolution_gradients

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

    def takes(self, x: Tensor, weights: Tensor, stride: int, padding: int) -> bool:
        """Whether the operation can be used for a convolution (filters, channels, size, size) of a map x."""
        filters, _, size, _ = weights.shape
        height, width = ((side + 2 * padding - size) // stride + 1 for side in x.shape[2:])
        rows, columns = self.pooled(height, width)
        covered = self.stride != 2 or (2 * rows >= height and 2 * columns >= width)
        values = x.shape[0] * rows * columns
        return x.device.type == "cpu" and x.dtype in _DTYPES and filters % LANES == 0 and covered and values > 1

    def pooled(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the result."""
        if not self.stride:
            return height, width
        return (height + self.padding - 2) // self.stride + 1, (width + self.padding - 2) // self.stride + 1

    def __call__(
        self, x: Tensor, weights: Tensor, biases: Tensor | None, stride: int, padding: int, norm: nn.BatchNorm2d
    ) -> Tensor:
        """Convolution and chain; the running statistics follow as in ``nn.BatchNorm2d``. No gradient for the biases."""
        convolution = Convolution(None if biases is None else biases.detach(), stride, padding)
        arguments = x, weights, norm.weight, norm.bias, self, convolution, norm.eps
        output, mean, variance, count = _Fused.apply(*arguments)  # type: ignore[no-untyped-call]
        _follow(norm, mean, variance, int(count))
        return output  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Convolution:
    """What a convolution needs beside its weights."""

    biases: Tensor | None
    stride: int
    padding: int


def _follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """One step of the running mean and of the running, unbiased variance."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.mul_(1 - momentum).add_(mean.float(), alpha=momentum)
        norm.running_var.mul_(1 - momentum).add_(variance.float(), alpha=momentum * count / (count - 1))


class _Fused(torch.autograd.Function):
    """(x, weights, scale, bias) -> result, mean (channels,), biased variance (channels,), values a channel."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, scale: Tensor, bias: Tensor,
        chain: Chain, convolution: Convolution, epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        y = functional.conv2d(x, weights, convolution.biases, convolution.stride, convolution.padding)
        y = y.contiguous(memory_format=torch.channels_last)
        state = _State(chain, y)
        state.normalize(scale, bias, epsilon)
        output = state.finish()
        ctx.save_for_backward(x, weights)
        ctx.state, ctx.convolution = state, convolution
        results = torch.from_numpy(state.mean), torch.from_numpy(state.variance), torch.tensor(state.count)
        ctx.mark_non_differentiable(*results)
        return output, *results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weights = ctx.saved_tensors
        state, convolution = ctx.state, ctx.convolution
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        scale, bias, batch_norm = state.sum_gradients(gradient)
        needs = ctx.needs_input_grad[:2]
        dw = None
        if needs[1] and state.takes_winners(weights, convolution):
            dw = state.correlate_winners(gradient, x, weights, batch_norm)
            needs = needs[0], False
        dx = None
        if any(needs):
            x, weights_ = x.to(gradient.dtype), weights.to(gradient.dtype)
            dy = state.spread(gradient, batch_norm)
            dx, product = convolution_gradients(dy, x, weights_, convolution.stride, convolution.padding, needs)
            dw = product if dw is None else dw
        return dx, None if dw is None else dw.to(weights.dtype), scale, bias, None, None, None


class _State:
    """A chain at work on one map: what its gradient will need."""

    def __init__(self, chain: Chain, y: Tensor) -> None:
        self.chain, self.y = chain, y
        self.images, self.channels, height, width = y.shape
        rows, columns = chain.pooled(height, width)
        self.small = rows, columns, self.channels
        self.large = height, width, self.channels, chain.stride, rows, columns
        self.output = _empty(y, rows, columns, y.dtype)
        self.flags = np.empty(self.output.numel(), np.uint8)
        self.values = y  # what has been normalised of each result
        quantised = isinstance(chain.ending, Quantization)
        self.high, self.low = (
            (1 / chain.ending.step, 0.0) if isinstance(chain.ending, Quantization) else (1.0, chain.ending)
        )
        self.pools_first = quantised and bool(chain.stride)

    def normalize(self, scale: Tensor, bias: Tensor, epsilon: float) -> None:
        """Take the statistics, of the pooled map where the pool comes first."""
        shift = _flat(self.y[0, :, 0, 0].float().contiguous())
        y, sums = _flat(self.y), _Sums(self.channels * 2)
        if self.pools_first:
            self.values = torch.empty_like(self.output)
            into = _flat(self.values), self.flags
            found = _run(self.images, kernels.pool_and_sum, y, *into, shift, sums, *self.large)
            self.y = self.values  # the gradient needs the winners only
        else:
            height, width, channels, *_ = self.large
            found = _run(self.images, kernels.sum_up, y, shift, sums, height, width, channels)
        self.count = self.values.numel() // self.channels
        offset, square = found.reshape(2, -1) / self.count
        self.mean, self.variance = shift + offset, np.maximum(square - offset**2, 0)
        self.deviation = np.sqrt(self.variance + epsilon)
        self.scale = scale.detach().double().numpy() / self.deviation
        self.offset = bias.detach().double().numpy() - self.mean * self.scale

    def finish(self) -> Tensor:
        """The chain's result."""
        chain, y, output = self.chain, _flat(self.y), _flat(self.output)
        affine = self.scale.astype(np.float32), self.offset.astype(np.float32)
        if isinstance(chain.ending, Quantization):
            thresholds = np.array(chain.ending.thresholds, np.float32)
            rest = bool(chain.stride), *affine, thresholds, np.float32(len(thresholds) * chain.ending.step)
            _run(self.images, kernels.quantize, y, output, self.flags, *rest, None, *self.small)
        elif chain.stride:
            self.values = torch.empty_like(self.output)
            into = output, _flat(self.values), self.flags
            _run(self.images, kernels.activate_and_pool, y, *into, *affine, np.float32(self.low), None, *self.large)
        else:
            _run(self.images, kernels.activate, y, output, self.flags, *affine, np.float32(self.low), None, *self.small)
        result = self.output
        del self.output  # else it would hold the graph that it is part of
        return result

    def sum_gradients(self, gradient: Tensor) -> tuple[Tensor, Tensor, NDArray[np.float32]]:
        """The gradients of scale and bias, and what the kernels need for that of the map."""
        read = _flat(gradient), _flat(self.values), self.flags, self.mean.astype(np.float32), *self._slopes
        sums = _run(self.images, kernels.sum_gradients, *read, _Sums(2 * self.channels), *self.small)
        total, product = sums.reshape(2, -1)
        tilt = -self.scale * product / (self.deviation**2 * self.count)
        level = -self.scale * total / self.count
        batch_norm = np.concatenate([self.scale, self.mean, tilt, level]).astype(np.float32)
        return _float32(product / self.deviation), _float32(total), batch_norm

    def spread(self, gradient: Tensor, batch_norm: NDArray[np.float32]) -> Tensor:
        """The gradient of the convolution's output."""
        height, width = self.large[:2]
        result = _empty(gradient, height, width, gradient.dtype)
        kernel = kernels.spread if self.pools_first or not self.chain.stride else kernels.spread_all
        into = _flat(gradient), _flat(self.y), self.flags, _flat(result), batch_norm, *self._slopes
        _run(self.images, kernel, *into, None, *self.large)
        return result

    def takes_winners(self, weights: Tensor, convolution: Convolution) -> bool:
        """Whether the weights' gradient can be had from the winners alone, and is had sooner so."""
        _, channels, size, _ = weights.shape
        plain = size == 3 and convolution.stride == convolution.padding == 1
        few = channels < 4 and self.y.dtype == torch.float32  # the image
        return self.pools_first and self.chain.stride == 2 and plain and (few or channels in (8, 16, 32, 64))

    def correlate_winners(
        self, gradient: Tensor, x: Tensor, weights: Tensor, batch_norm: NDArray[np.float32]
    ) -> Tensor:
        """The weights' gradient, (filters, channels, 3, 3)."""
        filters, channels, _, _ = weights.shape
        height, width, _, _, rows, columns = self.large
        pooled = _empty(gradient, rows, columns, torch.float32)
        into = _flat(gradient), _flat(self.values), self.flags, _flat(pooled), batch_norm, *self._slopes
        _run(self.images, kernels.spread, *into, None, rows, columns, filters, 0, rows, columns)
        read = _flat(x.contiguous(memory_format=torch.channels_last)), _flat(pooled), self.flags
        image = channels < 4
        kernel = weight_kernels.correlate_winners_with_image if image else weight_kernels.correlate_winners
        size = height, width, channels, rows, columns, filters
        sums = _run(self.images, kernel, *read, _Sums(filters * (48 if image else 9 * channels)), *size)
        if image:
            sums = sums.reshape(filters, 3, 16)[:, :, :12]
        return _float32(sums).view(filters, 3, 3, -1)[..., :channels].permute(0, 3, 1, 2)

    @property
    def _slopes(self) -> tuple[np.float32, np.float32]:
        return np.float32(self.high), np.float32(self.low)


class _BinaryWeights(torch.autograd.Function):
    """Latent weights -> those that multiply, see :func:`binary_weights`."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, factor: float) -> Tensor:
        weights = weights.contiguous(memory_format=torch.channels_last)
        filters, count = weights.shape[0], weights[0].numel()
        result, alpha = torch.empty_like(weights), np.empty(filters, np.float32)
        into = _flat(weights), _flat(result), alpha, factor
        _run(filters, weight_kernels.binarize, *into, None, count)
        ctx.save_for_backward(weights)
        ctx.alpha, ctx.factor = alpha, factor
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        result = torch.empty_like(weights)
        into = _flat(weights), _flat(gradient), _flat(result), ctx.alpha, ctx.factor
        _run(weights.shape[0], weight_kernels.binarize_back, *into, None, weights[0].numel())
        return result, None


def binary_weights(weights: Tensor, factor: float) -> Tensor:
    """binary_sign * filter_scale * factor of float32 (filters, channels, size, size), in few passes over them."""
    return _BinaryWeights.apply(weights, factor)  # type: ignore[no-any-return, no-untyped-call]


def _empty(like: Tensor, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    size = (*like.shape[:2], rows, columns)
    return torch.empty(size, dtype=dtype, memory_format=torch.channels_last)


def _float32(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _flat(tensor: Tensor) -> NDArray[Any]:
    """The memory of a channels-last map (or of a vector) without a copy; bfloat16 as uint16."""
    tensor = tensor.detach()
    flat = tensor.permute(0, 2, 3, 1).reshape(-1) if tensor.ndim == 4 else tensor
    return np.asarray(flat.view(torch.uint16).numpy() if flat.dtype == torch.bfloat16 else flat.numpy())


class _Sums:
    """Stands for float64 sums among a kernel's arguments: every thread gets its own."""

    def __init__(self, size: int) -> None:
        self.size = size


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
