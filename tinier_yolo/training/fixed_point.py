"""Fine-tuning of a network whose numbers are rounded to given formats (Lin et al. 2016).

Forward, the module computes what the fixed-point program of its weights computes: in evaluation, in float64, to the
last bit. Backward, rounding lets gradients through where it does not saturate. Batch norms keep the statistics that
the float network ended with, so that they are a factor and a summand of each channel, folded into weights and biases as
in conversion.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tinier_yolo.darknet.layers import BATCH_NORM_EPSILON
from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.text import read_text
from tinier_yolo.errors import ConversionError, DataError, PathLike
from tinier_yolo.ifq.fixed_point.chain import fixed_point_chain
from tinier_yolo.ifq.fixed_point.layer import IMAGE_FORMAT, LEAKY_BITS, LEAKY_FACTOR, FixedPointLayer, LayerFormats
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram, formats_from_json, formats_json
from tinier_yolo.quantization.post_training.folding import IMAGE_SCALE, fold
from tinier_yolo.training.model import DarknetModel, Weighted

Formats = tuple[LayerFormats, ...]


def read_formats(path: PathLike, network: Network) -> Formats:
    """The formats of a network's layers out of the ``quantize.json`` of a report.

    Raises:
        ConversionError: the network has a layer without a fixed-point form.
        DataError: no such file, or one of another network.
    """
    parts = fixed_point_chain(network)
    try:
        content = json.loads(read_text(path, "report of quantize"))
        formats = formats_from_json(content["formats"])
        names = [str(row["name"]) for row in content["layers"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError("not a report of quantize", path=path, found=str(error)[:80]) from error
    wanted = [part.name for part in parts]
    if names != wanted or len(formats) != len(parts):
        differing = next((pair for pair in zip(wanted, names, strict=False) if pair[0] != pair[1]), None)
        expected, found = differing or (f"{len(wanted)} layers", str(len(names)))
        raise DataError("the report of another network", path=path, expected=expected, found=found[:80])
    return formats


class FixedPointModel(DarknetModel):
    """The module of a float network whose tensors are rounded to formats; its arrays are those of the float network."""

    estimates_norms = False

    def __init__(self, network: Network, formats: Formats) -> None:
        super().__init__(network, fused=False)
        self.formats, self.parts = formats, fixed_point_chain(network)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        exact = not self.training
        x, read = (images.double() if exact else images.float()) * IMAGE_FORMAT.step, IMAGE_FORMAT
        for number, (part, own) in enumerate(zip(self.parts, self.formats, strict=True)):
            weights, biases = self._operands(number)
            weights, biases = (tensor.to(x.dtype) for tensor in (weights, biases))
            sums = functional.conv2d(x, weights, biases, part.convolution.stride, part.convolution.padding)
            sums = _activated(sums, part.convolution.activation, own.weights.fraction + read.fraction, exact)
            x = self._between(rounded(sums, own.maps), number)
            read = own.maps
        return x.float()

    def _between(self, x: Tensor, number: int) -> Tensor:
        # What follows a convolution works on the rounded values: a pool, dropout, the mean over the last map.
        end = self.parts[number + 1].start if number + 1 < len(self.parts) else len(self.children_of_layers)
        for index in range(self.parts[number].start + 1, end):
            x = self.children_of_layers[index](x)
        return x

    def _operands(self, number: int) -> tuple[Tensor, Tensor]:
        # In float64 and in the order of folding.fold, so that they are the same numbers.
        module = self.children_of_layers[self.parts[number].start]
        assert isinstance(module, Weighted), "a part begins with a convolution"
        arrays = {name: tensor.double() for name, tensor in module.arrays().items()}
        # A connected layer is a convolution over the whole map.
        weights = arrays["weights"].reshape(self.parts[number].convolution.weight_shape)
        biases = arrays["biases"]
        if module.norm is not None:
            factor = arrays["scales"] / torch.sqrt(arrays["variances"] + BATCH_NORM_EPSILON)
            weights, biases = weights * factor[:, None, None, None], biases - factor * arrays["means"]
        weights = weights * (IMAGE_SCALE if number == 0 else 1)
        own = self.formats[number]
        return rounded(weights, own.weights), rounded(biases, own.biases)

    def program(self, class_names: tuple[str, ...], provenance: dict[str, str] | None = None) -> FixedPointProgram:
        """The program of these weights in these formats.

        Raises:
            ConversionError: formats that do not go together, or with these weights.
        """
        layers, read = [], IMAGE_FORMAT
        for folded, own in zip(fold(self.network, self.parameters_of_layers()), self.formats, strict=True):
            integers = own.weights.encode(folded.weights).astype("int16"), own.biases.encode(folded.biases)
            part = folded.part
            try:
                arrays = integers[0], integers[1].astype("int16")
                layers.append(FixedPointLayer(part.convolution, part.pool, read, own, *arrays))
            except ValueError as error:
                problem, place = f"formats that do not fit: {error}", f"layer {part.start}"
                raise ConversionError(problem, path=self.network.path, place=place) from error
            read = own.maps
        return FixedPointProgram(self.network, tuple(layers), class_names, provenance or {})

    @property
    def identity(self) -> str:
        """The formats as a text."""
        return json.dumps(formats_json(self.formats))


def rounded(values: Tensor, numbers: NumberFormat) -> Tensor:
    """The values of the format nearest to real ones, ties away from zero; gradients pass where it does not saturate."""
    return _Rounded.apply(values, numbers)  # type: ignore[no-any-return, no-untyped-call]


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, numbers: NumberFormat) -> Tensor:
        scaled = values * 2.0**numbers.fraction
        ctx.save_for_backward((scaled >= numbers.lowest - 0.5) & (scaled <= numbers.highest + 0.5))
        return _nearest(scaled).clamp(numbers.lowest, numbers.highest) * numbers.step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None


def _nearest(scaled: Tensor) -> Tensor:
    size = scaled.abs()
    whole = size.floor()
    return torch.copysign(whole + (size - whole >= 0.5), scaled)


def _activated(sums: Tensor, activation: str, point: int, exact: bool) -> Tensor:
    if activation == "relu":
        return functional.relu(sums)
    if activation == "linear":
        return sums
    scaled = sums * (LEAKY_FACTOR / (1 << LEAKY_BITS))
    if exact:  # An accumulator counts units of 2^-point, behind the activation too.
        scaled = _nearest(scaled * 2.0**point) * 2.0**-point
    return torch.where(sums < 0, scaled, sums)
