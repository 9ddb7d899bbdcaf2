"""The layers of a network: one frozen dataclass a section, with its shapes.

A layer knows its shapes, its parameters in the order of a .weights file, and its multiply-accumulates; it computes
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from tinier_yolo.darknet.cfg import Section

#: Under the square root of every batch normalisation, here and in every export.
BATCH_NORM_EPSILON = 1e-5
#: What ``activation=leaky`` multiplies negative values by.
LEAKY_SLOPE = 0.1


class Shape(NamedTuple):
    """The shape of a feature map: channels, height, width."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """The number of values."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.channels}"


def windows(side: int, size: int, stride: int, padding: int) -> int:
    """How many windows of ``size`` cells stand along a side, with ``padding`` cells added at both ends together."""
    return (side + padding - size) // stride + 1


#: Name and shape of one array of a layer.
Parameter = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layer:
    """What all layers have: the cfg line, the section's index, input and output shape."""

    kind: ClassVar[str] = ""
    section: Section
    input: Shape
    output: Shape

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The layer's arrays in the order in which a .weights file holds them."""
        return ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return 0


@dataclass(frozen=True)
class Convolutional(Layer):
    """``[convolutional]``: weights (filters, channels, size, size); ``padding`` cells of zero on every side."""

    kind = "convolutional"
    filters: int
    size: int
    stride: int
    padding: int
    activation: str
    batch_normalize: bool
    binary: bool

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(filters, channels, size, size)."""
        return self.filters, self.input.channels, self.size, self.size

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Biases, the three of batch normalisation where there is one, weights."""
        names = ("biases", "scales", "means", "variances") if self.batch_normalize else ("biases",)
        return (*((name, (self.filters,)) for name in names), ("weights", self.weight_shape))

    @property
    def macs(self) -> int:
        """One for each weight at each output cell."""
        return self.macs_for(self.input)

    def macs_for(self, shape: Shape) -> int:
        """The same where the input map has this shape."""
        output = self.output_for(shape)
        return math.prod(self.weight_shape) * output.height * output.width

    def output_for(self, shape: Shape) -> Shape:
        """The shape of the output map where the input map has this shape."""
        sides = (windows(side, self.size, self.stride, 2 * self.padding) for side in shape[1:])
        return Shape(self.filters, *sides)


@dataclass(frozen=True)
class MaxPool(Layer):
    """``[maxpool]``: ``padding`` cells in all, the odd one at the right and the bottom; a padded cell never wins."""

    kind = "maxpool"
    size: int
    stride: int
    padding: int

    def output_for(self, shape: Shape) -> Shape:
        """The shape of the output map where the input map has this shape."""
        return Shape(shape.channels, *(windows(side, self.size, self.stride, self.padding) for side in shape[1:]))


@dataclass(frozen=True)
class BatchNorm(Layer):
    """``[batchnorm]`` of its own, as it follows a pool. Arrays in the order of AlexeyAB's and hank-ai's Darknet.

    (pjreddie's writes no biases for this section, and so loses them.)
    """

    kind = "batchnorm"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Biases, scales, means, variances, each (channels,)."""
        return tuple((name, (self.input.channels,)) for name in ("biases", "scales", "means", "variances"))


#: The activation that quantises, and its kinds: ``uniform`` has a cell around zero, ``half-wave`` sends every x > 0 to
#: level 1 or more, as the authors' code does.
HWGQ = "hwgq"
UNIFORM, HALF_WAVE = QUANTIZERS = ("uniform", "half-wave")


@dataclass(frozen=True)
class Activation(Layer):
    """``[activation]``: ``hwgq`` quantises to levels 0..2^bits - 1, the others are float functions."""

    kind = "activation"
    activation: str
    bits: int = 0
    quantizer: str = UNIFORM

    @property
    def quantizes(self) -> bool:
        """Whether it makes levels."""
        return self.activation == HWGQ


@dataclass(frozen=True)
class Region(Layer):
    """``[region]``: the output of YOLOv2. ``anchors`` are (width, height) pairs in cells of the output map."""

    kind = "region"
    anchors: tuple[tuple[float, float], ...]
    classes: int
    softmax: bool
    rescore: bool
    thresh: float
    jitter: float
    random: bool
    object_scale: float
    noobject_scale: float
    class_scale: float
    coord_scale: float


@dataclass(frozen=True)
class Connected(Layer):
    """``[connected]``: every input value to every output; weights (output, input).

    It is a convolution over the whole map: an output's weights stand in the order of channels, rows, columns.
    """

    kind = "connected"
    activation: str
    batch_normalize: bool
    binary: bool

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(outputs, channels, height, width): the shape of the weights as a convolution's."""
        return self.output.size, *self.input

    def as_convolution(self) -> Convolutional:
        """The convolution over the whole map that it is; of a square map, as a program's convolutions are."""
        return Convolutional(
            self.section,
            self.input,
            self.output,
            filters=self.output.size,
            size=self.input.height,
            stride=1,
            padding=0,
            activation=self.activation,
            batch_normalize=self.batch_normalize,
            binary=self.binary,
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Biases, weights, then the three of batch normalisation: Darknet's order for this section."""
        outputs = self.output.size
        norm = ("scales", "means", "variances") if self.batch_normalize else ()
        return (
            ("biases", (outputs,)),
            ("weights", (outputs, self.input.size)),
            *((name, (outputs,)) for name in norm),
        )

    @property
    def macs(self) -> int:
        """One for each weight."""
        return self.output.size * self.input.size


@dataclass(frozen=True)
class Dropout(Layer):
    """``[dropout]``: only training sees it."""

    kind = "dropout"
    probability: float


@dataclass(frozen=True)
class AvgPool(Layer):
    """``[avgpool]``: the mean of each channel."""

    kind = "avgpool"


@dataclass(frozen=True)
class Softmax(Layer):
    """``[softmax]`` over all values."""

    kind = "softmax"


@dataclass(frozen=True)
class Cost(Layer):
    """``[cost]``: only training sees it."""

    kind = "cost"
