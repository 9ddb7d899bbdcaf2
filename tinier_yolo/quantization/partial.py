"""A network that is quantised but for some substructures: integers where it is quantised, float64 elsewhere.

IFQ-AlexNet's first and last substructure are not quantised (IFQ-Net, section 4.1.1: "the proposed integrated method for
the quantized substructures while the non-quantized substructures are kept floating-point"). The quantised ones are
converted here as in a program, thresholds and proof included, and run as :mod:`tinier_yolo.ifq.reference` runs them.
The others may have the numbers of the separated conversion (Eq. 5): float64 then computes what integers would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import (
    BATCH_NORM_EPSILON,
    LEAKY_SLOPE,
    Activation,
    AvgPool,
    BatchNorm,
    Connected,
    Convolutional,
    Layer,
    MaxPool,
)
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.ifq.reference import run_quantized
from tinier_yolo.ifq.substructures import Substructure, convolution_of, divide, refusal
from tinier_yolo.ifq.tensors import IMAGE_BITS
from tinier_yolo.quantization.convert import convert_quantized
from tinier_yolo.quantization.float64 import IMAGE_STEP, Float64, RealSubstructure, convolve, max_pool
from tinier_yolo.quantization.hwgq import Quantizer, binarize, quantizer_for
from tinier_yolo.quantization.proof import LayerProof, Proof
from tinier_yolo.quantization.separated import floored, separated_quantizer

Levels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FloatPart:
    """A substructure that stays float: what it reads is levels times ``step``, or the values of the part before.

    Attributes:
        substructure: its layers.
        parameters: the arrays of each of these layers.
        step: the value of a level of its input map; 1 where it reads values.
        m: of Eq. 5: every number is floor(x Q) / Q with Q = 2^m, biases of convolutions floor(b Q^2) / Q^2, and so are
            the values that another convolution of the part reads. None: they stay as they are.
    """

    substructure: Substructure
    parameters: Parameters
    step: float
    m: int | None = None

    @property
    def quantizer(self) -> Quantizer | None:
        """What makes levels of its output, or None where its output are values."""
        last = self.substructure.layers[-1]
        if not (isinstance(last, Activation) and last.quantizes):
            return None
        return _quantizer(last) if self.m is None else separated_quantizer(_quantizer(last), self.m)

    def run(self, levels: Levels | Float64) -> Float64:
        """The values before its quantiser, if it has one, float64 (channels, height, width)."""
        step = np.asarray(self.step)
        values = levels.astype(np.float64) * (step if self.m is None else floored(step, self.m))
        for number, (layer, arrays) in enumerate(zip(self.substructure.layers, self.arrays, strict=True)):
            if number and self.m is not None and isinstance(layer, Convolutional | Connected):
                values = floored(values, self.m)
            if not (isinstance(layer, Activation) and layer.quantizes):
                values = _apply(layer, arrays, values)
        return values

    @cached_property
    def arrays(self) -> tuple[dict[str, Float64], ...]:
        """The numbers that it computes with: those of each layer."""
        layers = zip(self.substructure.layers, self.parameters, strict=True)
        return tuple(_real_arrays(layer, arrays, self.m) for layer, arrays in layers)


@dataclass(frozen=True, eq=False)
class IntegerPart:
    """A quantised substructure, in integers and as the float network that they stand for.

    Attributes:
        layer: the integers.
        real: the real numbers.
        quantizer: of its output map.
        proof: that both make the same levels; of the rounded numbers where it was converted in the separated way.
    """

    layer: QuantizedLayer
    real: RealSubstructure
    quantizer: Quantizer
    proof: LayerProof

    def run(self, levels: Levels) -> Levels:
        """Levels from levels, uint8 (channels, height, width), on integers."""
        return run_quantized(self.layer, levels)

    def run_float(self, levels: Levels) -> Levels:
        """The same in float64: what the network says whose conversion this is."""
        convolution, pool = self.layer.convolution, self.layer.pool
        sums = convolve(levels, self.real.signs, convolution.stride, convolution.padding)
        return self.quantizer.quantize(self.real.values(sums if pool is None else max_pool(sums, pool)))


AnyPart: TypeAlias = FloatPart | IntegerPart
#: What makes the levels of an integer part from those that it reads.
RunPart: TypeAlias = Callable[[IntegerPart, Levels], Levels]


@dataclass(frozen=True, eq=False)
class PartialProgram:
    """A network of float and of integer parts.

    Attributes:
        network: the network.
        parts: its substructures, in order; the last one is float.
    """

    network: Network
    parts: tuple[AnyPart, ...]

    @property
    def arithmetic(self) -> str:
        """What it computes with, for a person: ``integers in substructures 2 to 6 of 7, float64 in the others``."""
        numbers = [number for number, part in enumerate(self.parts, start=1) if isinstance(part, IntegerPart)]
        told = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        if numbers != list(range(numbers[0], numbers[-1] + 1)):
            told = ", ".join(map(str, numbers))
        return f"integers in substructures {told} of {len(self.parts)}, float64 in the others"

    @property
    def proof(self) -> Proof:
        """Of its integer parts."""
        return Proof(tuple(part.proof for part in self.parts if isinstance(part, IntegerPart)))

    def run(self, image: NDArray[np.uint8], integers: bool = True) -> Float64:
        """The output map for an image.

        Args:
            image: uint8 (height, width, channels), RGB, of the network's size.
            integers: False: the quantised substructures in float64 too.

        Returns:
            float64 (channels, rows, columns).

        Raises:
            UsageError: the image is of another size.
        """
        return self.run_with(IntegerPart.run if integers else IntegerPart.run_float, image)

    def run_with(self, run_part: RunPart, image: NDArray[np.uint8]) -> Float64:
        """As :meth:`run`, where ``run_part`` makes the levels of the integer parts."""
        channels, height, width = self.network.input
        if image.shape != (height, width, channels):
            raise UsageError("not the network's input", expected=(height, width, channels), found=image.shape)
        return np.asarray(self.run_parts(run_part, image.transpose(2, 0, 1)), np.float64)

    def run_parts(self, run_part: RunPart, values: Levels | Float64, start: int = 0, stop: int | None = None) -> Any:
        """Some of the parts, from ``start`` to before ``stop``: their output map from the map that they read."""
        for part in self.parts[start:stop]:
            if isinstance(part, IntegerPart):
                values = run_part(part, values.astype(np.uint8, copy=False))
            else:
                values = part.run(values)
                if part.quantizer is not None:
                    values = part.quantizer.quantize(values)
        return values


def convert_partially(
    network: Network, parameters: Parameters, separated_m: Mapping[int, int] | None = None
) -> PartialProgram:
    """Convert the quantised substructures of a network, and leave the others float.

    Args:
        network: its first or last substructures may be float.
        parameters: its arrays.
        separated_m: m of Eq. 5 for some of the substructures, by their number from 0: the quantised ones among them are
            converted in the separated way, the others get its numbers. All others are integrated, or stay float.

    Raises:
        ConversionError: nothing of it is quantised, its last substructure is, one of them reads values that are no
            levels, or a number is not finite or does not fit.
    """
    found = divide(network)
    if not any(part.quantized for part in found):
        raise refusal(network.layers[0], "nothing in this network is quantised")
    if found[-1].quantized:
        raise refusal(found[-1].layers[0], "the last convolution is quantised: there is no output map")
    parts: list[AnyPart] = []
    bits, step = IMAGE_BITS, IMAGE_STEP
    for number, substructure in enumerate(found):
        m = (separated_m or {}).get(number)
        if substructure.quantized:
            if not bits:
                raise refusal(substructure.layers[0], "a quantised substructure that reads a map without levels")
            part = convert_quantized(substructure, parameters, bits, step, m)
            exact = part if m is None else convert_quantized(substructure, parameters, bits, step)
            parts.append(IntegerPart(part.layer, exact.real, exact.quantizer, part.proof))
            bits, step = exact.quantizer.bits, exact.quantizer.step
        else:
            arrays = tuple(parameters[network.layers.index(layer)] for layer in substructure.layers)
            parts.append(own := FloatPart(substructure, arrays, step, m))
            _check_float(own)
            quantizer = own.quantizer
            bits, step = (0, 1.0) if quantizer is None else (quantizer.bits, quantizer.step)
    return PartialProgram(network, tuple(parts))


def _quantizer(activation: Activation) -> Quantizer:
    return quantizer_for(activation.bits, activation.quantizer)


def _check_float(part: FloatPart) -> None:
    # A quantiser in the middle of a float part would need its step behind it.
    for layer in part.substructure.layers[:-1]:
        if isinstance(layer, Activation) and layer.quantizes:
            raise refusal(layer, "a quantiser behind a float convolution that other layers follow")
    for layer, arrays in zip(part.substructure.layers, part.arrays, strict=True):
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise refusal(layer, f"{name} that are not finite numbers")
        if part.m is not None and len(wrong := np.flatnonzero(arrays.get("deviations", np.ones(1)) == 0)):
            raise refusal(layer, f"m = {part.m} is too small: the deviation of channel {wrong[0]} becomes 0")


def _apply(layer: Layer, arrays: dict[str, Float64], values: Float64) -> Float64:
    match layer:
        case Convolutional() | Connected():
            return _weighted(layer, arrays, values)
        case MaxPool():
            return max_pool(values, layer)
        case BatchNorm():
            return _normalized(arrays, values)
        case Activation():
            return _activated(layer.activation, values)
        case AvgPool():
            return np.asarray(values.mean(axis=(1, 2), keepdims=True))
        case _:
            raise refusal(layer, "no float64 form of this layer")


def _real_arrays(layer: Layer, arrays: Mapping[str, NDArray[np.float32]], m: int | None) -> dict[str, Float64]:
    # In float64, the weights as the convolution multiplies by them, and all of them rounded as m says.
    real = {name: array.astype(np.float64) for name, array in arrays.items()}
    norm, signs = "variances" in real, np.ones(1)
    if norm:
        with np.errstate(invalid="ignore"):  # of a negative one: refused with all that is not finite
            real["deviations"] = np.sqrt(real.pop("variances") + BATCH_NORM_EPSILON)
    if isinstance(layer, Convolutional | Connected):
        real["weights"] = real["weights"].reshape(_convolution(layer).weight_shape)
        if layer.binary:
            binary, alpha = binarize(real["weights"])
            signs, real["weights"] = binary.astype(np.float64), alpha[:, None, None, None]
    if m is not None:  # A bias that no norm precedes is added to products of two numbers of m bits.
        real = {name: floored(array, m if norm or name != "biases" else 2 * m) for name, array in real.items()}
    if "weights" in real:
        real["weights"] = signs * real["weights"]
    return real


def _convolution(layer: Convolutional | Connected) -> Convolutional:
    return layer if isinstance(layer, Convolutional) else convolution_of(layer)


def _weighted(layer: Convolutional | Connected, arrays: dict[str, Float64], values: Float64) -> Float64:
    convolution = _convolution(layer)
    sums = convolve(values, arrays["weights"], convolution.stride, convolution.padding)
    normalized = _normalized(arrays, sums) if layer.batch_normalize else sums + arrays["biases"][:, None, None]
    return _activated(layer.activation, normalized)


def _normalized(arrays: dict[str, Float64], values: Float64) -> Float64:
    names = ("means", "deviations", "scales", "biases")
    mean, deviation, scale, shift = (arrays[name][:, None, None] for name in names)
    return np.asarray(scale * (values - mean) / deviation + shift)


def _activated(name: str, values: Float64) -> Float64:
    match name:
        case "linear":
            return values
        case "relu":
            return np.asarray(np.maximum(values, 0))
        case "leaky":
            return np.asarray(np.where(values < 0, LEAKY_SLOPE * values, values))
        case "logistic":
            return np.asarray(1 / (1 + np.exp(-values)))
    raise AssertionError(name)
