"""Network -> torch.nn.Module.

Every map is a pair: a tensor and the scale beta by which its values are to be multiplied. For the image that is
uint8 and 1/255, for a quantised map levels and the quantiser's step, for a float map the values themselves and 1. A
binary convolution works on the levels, whole numbers, and applies alpha * beta once at its end (Eq. 1): in evaluation
its sums are exact in float32, and float64 takes over until the next quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinier_yolo.darknet.layers import (
    BATCH_NORM_EPSILON,
    LEAKY_SLOPE,
    Activation,
    AvgPool,
    BatchNorm,
    Connected,
    Convolutional,
    Dropout,
    Layer,
    MaxPool,
)
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.quantization.float64 import IMAGE_STEP
from tinier_yolo.quantization.hwgq import quantizer_for
from tinier_yolo.training.fused import Chain, Quantization, binary_weights
from tinier_yolo.training.quantizers import binary_sign, filter_scale, quantize_levels

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "leaky": lambda x: functional.leaky_relu(x, LEAKY_SLOPE),
    "relu": functional.relu,
    "logistic": torch.sigmoid,
}
#: Activations that can be fused -> the slope of negative values.
_SLOPES = {"linear": 1.0, "leaky": LEAKY_SLOPE, "relu": 0.0}
#: Our names of a batch normalisation's arrays -> PyTorch's.
_BATCH_NORM = {"biases": "bias", "scales": "weight", "means": "running_mean", "variances": "running_var"}


class Weighted(nn.Module):
    """A [convolutional] or [connected] section: product, scale, bias or batch normalisation, activation."""

    def __init__(self, layer: Convolutional | Connected, scale: float, followed_by_batch_norm: bool) -> None:
        super().__init__()
        self.layer, self.scale = layer, scale
        shapes = dict(layer.parameters)
        self.weights = nn.Parameter(torch.empty(shapes["weights"]))
        nn.init.kaiming_normal_(self.weights, a=LEAKY_SLOPE)
        self.norm = Norm(shapes["biases"][0], BATCH_NORM_EPSILON) if layer.batch_normalize else None
        # A bias before a batch normalisation has no effect that its mean does not undo.
        self.biases = None if self.norm else nn.Parameter(torch.zeros(shapes["biases"]), not followed_by_batch_norm)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.layer.binary and not self.training:
            y = self._exact_binary_product(x)
        else:
            y = self._product(*self.operands(x), self.biases)
        return _ACTIVATIONS[self.layer.activation](y if self.norm is None else self.norm(y))

    def operands(self, x: Tensor, fused: bool = False) -> tuple[Tensor, Tensor]:
        """What is multiplied in training: the map, and the weights as they enter the product."""
        if not self.layer.binary:
            return (x * self.scale if self.scale != 1 else x), self.weights
        if fused:
            return x, binary_weights(self.weights, self.scale)
        # Scaling the weights spares a pass over the largest maps and its gradient.
        scale = filter_scale(self.weights) * self.scale
        return x, binary_sign(self.weights) * scale.view(-1, *(1,) * (self.weights.ndim - 1))

    def _exact_binary_product(self, x: Tensor) -> Tensor:
        # The sums are whole numbers, exact in float32; what follows is not, and decides on which side of a threshold a
        # value falls. In float64 a network says what its integer program will say.
        scale = filter_scale(self.weights.double()) * self.scale
        signs = binary_sign(self.weights)
        y = self._product(x.to(self.weights.dtype), signs, None).double() * scale.view(1, -1, 1, 1)
        return y if self.biases is None else y + self.biases.view(1, -1, 1, 1)

    def _product(self, x: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        if x.dtype == torch.float64:  # behind a binary layer, in evaluation
            weights, biases = weights.double(), None if biases is None else biases.double()
        if isinstance(self.layer, Convolutional):
            return functional.conv2d(x, weights, biases, self.layer.stride, self.layer.padding)
        return functional.linear(x.flatten(1), weights, biases)[:, :, None, None]

    def arrays(self) -> dict[str, Tensor]:
        """The tensors behind the layer's arrays, by name."""
        norm = batch_norm_arrays(self.norm) if self.norm is not None else {"biases": self.biases}
        return {**norm, "weights": self.weights}  # type: ignore[dict-item]


def batch_norm_arrays(norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    """The tensors of a batch normalisation by our names."""
    return {name: getattr(norm, theirs) for name, theirs in _BATCH_NORM.items()}


class DarknetModel(nn.Module):
    """The module of a network; one child a layer, in cfg order.

    ``forward`` takes images as uint8 (n, 3, height, width) RGB, or any float tensor of the same values 0..255, and
    gives the last map, float (n, channels, h, w), before the region's decode or the softmax. In training the chain
    behind a convolution is one operation (:mod:`tinier_yolo.training.fused`) where it can be, unless ``fused`` is
    False.
    """

    #: Whether the statistics of its batch norms are estimated anew at the end of a run.
    estimates_norms = True

    def __init__(self, network: Network, fused: bool = True) -> None:
        super().__init__()
        self.network, self.fused = network, fused
        self._chains = [chain_behind(network.layers, index) for index in range(len(network.layers))]
        self.children_of_layers = nn.ModuleList()
        scale = IMAGE_STEP
        for index, layer in enumerate(network.layers):
            module, scale = _module(layer, scale, batch_norm_after(network.layers, index) is not None)
            self.children_of_layers.append(module)
        self._scale = scale
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        x = images.float() if images.dtype == torch.uint8 else images
        index = 0
        while index < len(self.children_of_layers):
            x, index = self._step(x, index)
        return _scaled(x, self._scale)

    def _step(self, x: Tensor, index: int) -> tuple[Tensor, int]:
        """The output of a layer, or of all that is fused with it, and the index of the next layer."""
        module, link = self.children_of_layers[index], self._chains[index]
        if link is None or not (self.fused and self.training) or not isinstance(module, Weighted):
            return module(x), index + 1
        chain, length = link
        norm = module.norm if module.norm is not None else self.children_of_layers[index + length - 2]
        convolution = module.layer
        if not (isinstance(norm, Norm) and isinstance(convolution, Convolutional)):
            return module(x), index + 1
        if not chain.takes(x, module.weights, convolution.stride, convolution.padding):
            return module(x), index + 1
        x, weights = module.operands(x, fused=True)
        return chain(x, weights, module.biases, convolution.stride, convolution.padding, norm), index + length

    def maps(self, images: Tensor) -> list[Tensor]:
        """The output of every layer, in order."""
        x, maps = images.float(), []
        for module in self.children_of_layers:
            x = module(x)
            maps.append(x)
        return maps

    def parameters_of_layers(self) -> Parameters:
        """A copy of the arrays in Darknet's form, as a .weights file holds them."""
        return tuple(
            {name: tensor.detach().cpu().contiguous().numpy().astype(np.float32) for name, tensor in arrays.items()}
            for arrays in self._arrays()
        )

    def load_parameters(self, parameters: Parameters) -> None:
        """Copy arrays in Darknet's form into the module."""
        with torch.no_grad():
            for tensors, arrays in zip(self._arrays(), parameters, strict=True):
                # A layer type whose arrays nobody named here would else keep its random numbers without a word.
                if tensors.keys() != arrays.keys():
                    raise ValueError(f"arrays {sorted(arrays)} for a module that holds {sorted(tensors)}")
                for name, tensor in tensors.items():
                    tensor.copy_(torch.from_numpy(np.array(arrays[name])))

    def _arrays(self) -> list[dict[str, Tensor]]:
        return [
            module.arrays()
            if isinstance(module, Weighted)
            else batch_norm_arrays(module)
            if isinstance(module, nn.BatchNorm2d)
            else {}
            for module in self.children_of_layers
        ]


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x * scale if scale != 1 else x


class Norm(nn.BatchNorm2d):
    """PyTorch's, but that evaluation has the precision of its input, whatever that of the parameters.

    ``input_scale`` is that of the map it reads: 1 behind a convolution, but not where it stands before the first one.
    """

    input_scale = 1.0

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = _scaled(x, self.input_scale)
        if self.training:
            return super().forward(x)
        mean, variance, weight, bias = (
            array.to(x.dtype) if array is not None else None
            for array in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, self.eps)


class _Pool(nn.Module):
    def __init__(self, layer: MaxPool) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        size, stride, padding = self.layer.size, self.layer.stride, self.layer.padding
        before = padding // 2
        # Darknet's padding is a total; what the windows do not reach need not be made.
        after = [(side + padding - size) // stride * stride + size - side - before for side in x.shape[2:]]
        if before or any(extra > 0 for extra in after):
            bottom, right = (max(extra, 0) for extra in after)
            x = functional.pad(x, (before, right, before, bottom), value=-torch.inf)
        return functional.max_pool2d(x, size, stride)


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def batch_norm_after(layers: tuple[Layer, ...], index: int) -> int | None:
    """The index of the [batchnorm] that belongs to a convolution: the next layer but for pools."""
    if isinstance(layers[index], Convolutional | Connected):
        for later in range(index + 1, len(layers)):
            if isinstance(layers[later], BatchNorm):
                return later
            if not isinstance(layers[later], MaxPool):
                break
    return None


def chain_behind(layers: tuple[Layer, ...], index: int) -> tuple[Chain, int] | None:
    """What can be fused behind a convolution, and how many layers that makes with it; None if nothing can."""
    layer, rest = layers[index], list(layers[index + 1 :])
    if not isinstance(layer, Convolutional) or layer.activation not in _SLOPES:
        return None
    pool = rest[0] if rest and isinstance(rest[0], MaxPool) else None
    if pool is not None and (pool.size != 2 or pool.stride > 2 or pool.padding > 1):
        if not layer.batch_normalize:
            return None
        pool = None
    stride, padding = (pool.stride, pool.padding) if pool is not None else (0, 0)
    pools = int(pool is not None)
    if layer.batch_normalize:
        return Chain(stride, padding, _SLOPES[layer.activation]), 1 + pools
    norm, activation = [*rest[pools : pools + 2], None, None][:2]
    if layer.activation != "linear" or not isinstance(norm, BatchNorm) or not isinstance(activation, Activation):
        return None
    if activation.activation != "hwgq":
        return None
    quantizer = quantizer_for(activation.bits, activation.quantizer)
    return Chain(stride, padding, Quantization(tuple(quantizer.thresholds), quantizer.step)), 3 + pools


def _module(layer: Layer, scale: float, followed_by_batch_norm: bool) -> tuple[nn.Module, float]:
    """The module of a layer and the scale of its output."""
    if isinstance(layer, Convolutional | Connected):
        return Weighted(layer, scale, followed_by_batch_norm), 1.0
    if isinstance(layer, MaxPool):
        return _Pool(layer), scale
    # What is not linear needs the values themselves, as does what is linear with a constant: f(scale * x).
    if isinstance(layer, BatchNorm):
        norm = Norm(layer.input.channels, BATCH_NORM_EPSILON)
        norm.input_scale = scale
        return norm, 1.0
    if isinstance(layer, Activation):
        if layer.activation == "linear":
            return nn.Identity(), scale
        if not layer.quantizes:
            function = _ACTIVATIONS[layer.activation]
            return _Function(lambda x: function(_scaled(x, scale))), 1.0
        quantizer = quantizer_for(layer.bits, layer.quantizer)
        return _Function(lambda x: quantize_levels(_scaled(x, scale), quantizer)), quantizer.step
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.probability), scale
    if isinstance(layer, AvgPool):
        return nn.AdaptiveAvgPool2d(1), scale
    return nn.Identity(), scale  # [region], [softmax] and [cost]: whoever reads the last map does what they say
