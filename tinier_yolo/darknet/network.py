"""Sections -> Network: layers with their shapes resolved, each by a small creator of the table ``_CREATORS``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from tinier_yolo.darknet.cfg import Section, did_you_mean, parse_cfg, read_cfg_text
from tinier_yolo.darknet.layers import (
    HWGQ,
    QUANTIZERS,
    UNIFORM,
    Activation,
    AvgPool,
    BatchNorm,
    Connected,
    Convolutional,
    Cost,
    Dropout,
    Layer,
    MaxPool,
    Region,
    Shape,
    Softmax,
    windows,
)
from tinier_yolo.errors import CfgError, PathLike

MAX_DIMENSION = 16_384
#: The largest window and stride of a convolution or a pool.
MAX_WINDOW = 31

ACTIVATIONS = ("linear", "leaky", "relu", "logistic")
POLICIES = ("constant", "step", "steps", "exp", "poly", "sig", "cosine")


@dataclass(frozen=True)
class NetOptions:
    """``[net]``: the input, the solver, the augmentation. Darknet's names and defaults."""

    width: int
    height: int
    channels: int
    letter_box: bool
    batch: int
    subdivisions: int
    learning_rate: float
    momentum: float
    decay: float
    adam: bool
    muon: float
    max_batches: int
    burn_in: int
    power: float
    policy: str
    step: int
    steps: tuple[int, ...]
    scale: float
    scales: tuple[float, ...]
    gamma: float
    saturation: float
    exposure: float
    hue: float
    flip: bool


@dataclass(frozen=True)
class Network:
    """A network: its options, its layers with shapes, and the text that it was read from."""

    options: NetOptions
    layers: tuple[Layer, ...]
    sections: tuple[Section, ...]
    text: str
    path: str = "<cfg>"

    @classmethod
    def load(cls, path: PathLike) -> Network:
        """Read a cfg file and resolve its shapes.

        Raises:
            CfgError: the cfg cannot be read or describes no network.
        """
        return cls.parse(read_cfg_text(path), str(path))

    @classmethod
    def parse(cls, text: str, path: str = "<cfg>") -> Network:
        """Resolve the network that a cfg's text describes.

        Raises:
            CfgError: see :func:`tinier_yolo.darknet.cfg.parse_cfg`; or shapes that do not fit.
        """
        sections = parse_cfg(text, path)
        options = _net_options(sections[0])
        network = cls(options, _resolve(sections, options), sections, text, path)
        network.check_size(options.width, options.height)
        return network

    def resized(self, width: int, height: int) -> Network:
        """The same network for an input of another size.

        Raises:
            CfgError: the size is not a multiple of the network's stride, or beyond the limits.
        """
        if (width, height) == (self.options.width, self.options.height):
            return self
        self.check_size(width, height)
        options = replace(self.options, width=width, height=height)
        return replace(self, options=options, layers=_resolve(self.sections, options))

    def check_size(self, width: int, height: int) -> None:
        """Check the size of an input, which the output map of a detector divides into whole cells.

        Raises:
            CfgError: it is not a multiple of the network's stride, or beyond the limits; or another than the cfg's
                where a [connected] has a weight for each cell.
        """
        section = self.sections[0]
        _check_size(section, width, height)
        own = self.options.width, self.options.height
        if (width, height) != own and any(isinstance(layer, Connected) for layer in self.layers):
            problem = "the size of a network with [connected] cannot change"
            raise section.error(problem, expected=f"{own[0]}x{own[1]}", found=f"{width}x{height}")
        if isinstance(self.layers[-1], Region):
            for key, side in (("width", width), ("height", height)):
                if side % self.stride:
                    problem = "the size is not a multiple of the network's stride"
                    raise section.error(problem, key, expected=f"k * {self.stride}", found=side)

    @property
    def input(self) -> Shape:
        """The input's shape."""
        return Shape(self.options.channels, self.options.height, self.options.width)

    @property
    def output(self) -> Shape:
        """The last layer's output shape."""
        return self.layers[-1].output

    @property
    def region(self) -> Region:
        """The [region] layer.

        Raises:
            CfgError: the network has none.
        """
        last = self.layers[-1]
        if not isinstance(last, Region):
            raise CfgError("not a detector: the last section is not [region]", path=self.path, found=f"[{last.kind}]")
        return last

    @property
    def is_classifier(self) -> bool:
        """Whether it ends in [softmax] or [cost]."""
        return isinstance(self.layers[-1], Softmax | Cost)

    @property
    def classes(self) -> int:
        """How many classes a detector or a classifier tells apart.

        Raises:
            CfgError: it is neither, or a classifier whose last map has more than one cell.
        """
        if not self.is_classifier:
            return self.region.classes
        last = self.layers[-1]
        if self.output[1:] != (1, 1):
            expected = "[avgpool] or [connected] before it"
            raise last.section.error("the map of a classifier has one cell", expected=expected, found=self.output)
        return self.output.channels

    @cached_property
    def stride(self) -> int:
        """Input pixels a cell of the output map: the product of the strides."""
        return math.prod(layer.stride for layer in self.layers if isinstance(layer, Convolutional | MaxPool))


def _net_options(section: Section) -> NetOptions:
    width, height = section.integer("width", 0), section.integer("height", 0)
    _check_size(section, width, height)
    channels = section.integer("channels", 3)
    if not 1 <= channels <= MAX_DIMENSION:
        raise section.error("bad number of channels", "channels", expected=f"1..{MAX_DIMENSION}", found=channels)
    policy = section.word("policy", "constant")
    if policy not in POLICIES:
        hint = did_you_mean(policy, POLICIES)
        raise section.error(f"unknown policy {policy!r}{hint}", "policy", expected="one of " + ", ".join(POLICIES))
    steps, scales = section.integers("steps"), section.numbers("scales")
    if policy == "steps" and (not steps or len(steps) != len(scales)):
        raise section.error("steps and scales differ in length", "steps", expected=len(scales), found=len(steps))
    for key in ("batch", "subdivisions", "max_batches", "step"):
        if section.integer(key, 1) < 1:
            raise section.error("not positive", key, expected="at least 1", found=section.integer(key, 1))
    for key in ("learning_rate", "momentum"):
        if section.number(key, 0.0) < 0:
            raise section.error("negative", key, expected="at least 0", found=section.number(key, 0.0))
    muon, learning_rate = section.number("muon", 0.0), section.number("learning_rate", 0.001)
    check_muon(section, muon, learning_rate)
    return NetOptions(
        width=width,
        height=height,
        channels=channels,
        letter_box=section.flag("letter_box", True),
        batch=section.integer("batch", 1),
        subdivisions=section.integer("subdivisions", 1),
        learning_rate=learning_rate,
        momentum=section.number("momentum", 0.9),
        decay=section.number("decay", 0.0001),
        adam=section.flag("adam"),
        muon=muon,
        max_batches=section.integer("max_batches", 1),
        burn_in=section.integer("burn_in", 0),
        power=section.number("power", 4),
        policy=policy,
        step=section.integer("step", 1),
        steps=steps,
        scale=section.number("scale", 1),
        scales=scales,
        gamma=section.number("gamma", 1),
        saturation=section.number("saturation", 1),
        exposure=section.number("exposure", 1),
        hue=section.number("hue", 0),
        flip=section.flag("flip", True),
    )


def check_muon(section: Section, rate: float, learning_rate: float) -> None:
    """Check the learning rate of Muon beside the one of the other parameters, whose schedule it follows.

    Raises:
        CfgError: outside 0..1, or the other one is not positive.
    """
    if not 0 <= rate <= 1:
        raise section.error("bad value", "muon", expected="a learning rate of 0..1", found=rate)
    if rate and learning_rate <= 0:
        raise section.error("muon needs a learning rate for the other parameters", "learning_rate", expected="above 0")


def _check_size(section: Section, width: int, height: int) -> None:
    for key, value in (("width", width), ("height", height)):
        if not 1 <= value <= MAX_DIMENSION:
            raise section.error("bad size", key, expected=f"1..{MAX_DIMENSION}", found=value)


def check_map(section: Section, before: Shape, after: Shape) -> None:
    """Check the shape of a map that the layer of a section makes of another.

    Raises:
        CfgError: it has a side without cells or with too many.
    """
    if not all(1 <= side <= MAX_DIMENSION for side in after[1:]):
        raise section.error("the map has become too small or too large", found=f"{before} -> {after}")


def _resolve(sections: tuple[Section, ...], options: NetOptions) -> tuple[Layer, ...]:
    shape = Shape(options.channels, options.height, options.width)
    layers: list[Layer] = []
    for section in sections[1:]:
        if section.name == "net":
            raise section.error("a second [net]")
        _check_order(section, layers[-1] if layers else None)
        layer = _CREATORS[section.name](section, shape)
        check_map(section, shape, layer.output)
        layers.append(layer)
        shape = layer.output
    if not layers:
        raise sections[0].error("a network without layers")
    return tuple(layers)


def _check_order(section: Section, before: Layer | None) -> None:
    if isinstance(before, Region):
        raise section.error("a section after [region]", expected="[region] last")
    if isinstance(before, Cost) or (isinstance(before, Softmax) and section.name != "cost"):
        raise section.error(f"a section after [{before.kind}]", expected="[softmax] and [cost] last")


def _positive(section: Section, key: str, default: int, limit: int = MAX_DIMENSION) -> int:
    value = section.integer(key, default)
    if not 1 <= value <= limit:
        raise section.error("bad value", key, expected=f"1..{limit}", found=value)
    return value


def _activation(section: Section, default: str, extra: tuple[str, ...] = ()) -> str:
    name, known = section.word("activation", default), (*ACTIVATIONS, *extra)
    if name not in known:
        hint = did_you_mean(name, known)
        raise section.error(f"unknown activation {name!r}{hint}", "activation", expected="one of " + ", ".join(known))
    return name


def _convolutional(section: Section, shape: Shape) -> Convolutional:
    for key in ("xnor", "flipped"):
        if section.flag(key):
            raise section.error(f"{key}=1 is not supported", key, expected="binary=1 and an [activation] hwgq")
    if section.integer("groups", 1) != 1:
        raise section.error("grouped convolutions are not supported", "groups", expected=1)
    filters, size = _positive(section, "filters", 1), _positive(section, "size", 1, MAX_WINDOW)
    stride = _positive(section, "stride", 1, MAX_WINDOW)
    padding = size // 2 if section.flag("pad") else section.integer("padding", 0)
    if not 0 <= padding <= size:
        raise section.error("bad value", "padding", expected=f"0..{size}", found=padding)
    output = Shape(filters, *(windows(side, size, stride, 2 * padding) for side in shape[1:]))
    return Convolutional(
        section,
        shape,
        output,
        filters=filters,
        size=size,
        stride=stride,
        padding=padding,
        activation=_activation(section, "logistic"),
        batch_normalize=section.flag("batch_normalize"),
        binary=section.flag("binary"),
    )


def _maxpool(section: Section, shape: Shape) -> MaxPool:
    stride = _positive(section, "stride", 1, MAX_WINDOW)
    size = _positive(section, "size", stride, MAX_WINDOW)
    padding = section.integer("padding", size - 1)
    if not 0 <= padding < 2 * size:
        raise section.error("bad value", "padding", expected=f"0..{2 * size - 1}", found=padding)
    output = Shape(shape.channels, *(windows(side, size, stride, padding) for side in shape[1:]))
    return MaxPool(section, shape, output, size=size, stride=stride, padding=padding)


def _activation_layer(section: Section, shape: Shape) -> Activation:
    name = _activation(section, "linear", (HWGQ,))
    quantizer, bits = section.word("quantizer", UNIFORM), section.integer("bits", 2)
    if name != HWGQ:
        for key in ("bits", "quantizer"):
            if key in section.options:
                raise section.error(f"{key} without activation=hwgq", key)
        return Activation(section, shape, shape, name)
    if not 1 <= bits <= 4:
        raise section.error("bad number of bits", "bits", expected="1..4", found=bits)
    if quantizer not in QUANTIZERS:
        raise section.error("unknown quantizer", "quantizer", expected=" or ".join(QUANTIZERS), found=quantizer)
    return Activation(section, shape, shape, name, bits, quantizer)


def _region(section: Section, shape: Shape) -> Region:
    num, classes, coords = _positive(section, "num", 1, 256), _positive(section, "classes", 1), 4
    if section.integer("coords", 4) != coords:
        raise section.error("bad value", "coords", expected=4, found=section.integer("coords", 4))
    flat = section.numbers("anchors")
    if len(flat) != 2 * num:
        raise section.error("wrong number of anchors", "anchors", expected=f"{2 * num} numbers", found=len(flat))
    if any(not 0 < value <= MAX_DIMENSION for value in flat):
        raise section.error("an anchor that is not positive", "anchors")
    jitter = section.number("jitter", 0.2)
    if not 0 <= jitter < 1:
        raise section.error("bad value", "jitter", expected="0 <= jitter < 1", found=jitter)
    expected = num * (coords + 1 + classes)
    if shape.channels != expected:
        problem = "the convolution before [region] has the wrong number of filters"
        told = f"filters={expected}: num {num} x (4 + 1 + classes {classes})"
        raise section.error(problem, expected=told, found=shape.channels)
    return Region(
        section,
        shape,
        shape,
        anchors=tuple(zip(flat[::2], flat[1::2], strict=True)),
        classes=classes,
        softmax=section.flag("softmax"),
        rescore=section.flag("rescore"),
        thresh=section.number("thresh", 0.5),
        jitter=jitter,
        random=bool(section.integer("random", 0)),
        object_scale=section.number("object_scale", 1),
        noobject_scale=section.number("noobject_scale", 1),
        class_scale=section.number("class_scale", 1),
        coord_scale=section.number("coord_scale", 1),
    )


def _connected(section: Section, shape: Shape) -> Connected:
    return Connected(
        section,
        shape,
        Shape(_positive(section, "output", 1, 1 << 20), 1, 1),
        activation=_activation(section, "logistic"),
        batch_normalize=section.flag("batch_normalize"),
        binary=section.flag("binary"),
    )


def _dropout(section: Section, shape: Shape) -> Dropout:
    probability = section.number("probability", 0.5)
    if not 0 <= probability < 1:
        raise section.error("bad value", "probability", expected="0 <= p < 1", found=probability)
    return Dropout(section, shape, shape, probability)


def _softmax(section: Section, shape: Shape) -> Softmax:
    for key, value in (("groups", section.integer("groups", 1)), ("temperature", section.number("temperature", 1))):
        if value != 1:
            raise section.error("another value than 1 is not supported", key, found=str(value)[:20])
    return Softmax(section, shape, shape)


_CREATORS: Mapping[str, Callable[[Section, Shape], Layer]] = {
    "convolutional": _convolutional,
    "maxpool": _maxpool,
    "batchnorm": lambda section, shape: BatchNorm(section, shape, shape),
    "activation": _activation_layer,
    "region": _region,
    "connected": _connected,
    "dropout": _dropout,
    "avgpool": lambda section, shape: AvgPool(section, shape, Shape(shape.channels, 1, 1)),
    "softmax": _softmax,
    "cost": lambda section, shape: Cost(section, shape, shape),
}
