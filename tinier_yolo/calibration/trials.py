"""Trials: a network of some bits, run in integers on the calibration images and measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk.local import cores
from tinier_yolo.calibration.images import CalibrationImages
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.quantization.post_training.folding import Float32
from tinier_yolo.quantization.post_training.formats import Bits, Builder, uniform_bits
from tinier_yolo.quantization.post_training.sqnr import measured_sqnr
from tinier_yolo.runtime.fixed_point.cached_maps import CachedMaps

#: The noise of a tensor is measured on every so-and-so-many-th image: an output map has thousands of values.
NOISE_IMAGES = 4


@dataclass
class Trials:
    """Measures bits on calibration images.

    Attributes:
        builder: makes the integer layers.
        images: the images and their metric.
        float_outputs: what the float network makes of each.
        keeps_maps: whether bits can be accepted; without it the maps of all images need not be held.
        trials: how many networks were measured.
        seconds: how long that took.
    """

    builder: Builder
    images: CalibrationImages
    float_outputs: list[Float32]
    keeps_maps: bool = True
    trials: int = 0
    seconds: float = 0.0
    _maps: CachedMaps = field(init=False)
    _output_sqnr: float = field(init=False, default=np.nan)
    _accepted_sqnr: float = field(init=False, default=np.nan)
    _few: CachedMaps = field(init=False)
    _noise_base: Bits | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        program = self.program(uniform_bits(len(self.builder.layers), 8))
        self._maps = CachedMaps(program, self.images.pixels, cores(), self.keeps_maps)
        self._few = CachedMaps(program, self.images.pixels[::NOISE_IMAGES], cores())

    def program(self, bits: Bits, provenance: dict[str, str] | None = None) -> FixedPointProgram:
        """The program of these bits.

        Raises:
            ConversionError: there is none.
        """
        images = self.images
        return FixedPointProgram(images.network, self.builder.build(bits), images.class_names, provenance or {})

    @property
    def wanted(self) -> float:
        """The metric of the float network."""
        return self.images.metric(self.float_outputs, 0)

    def measure(self, bits: Bits) -> float:
        """The metric of the network of these bits, 0..1."""
        start = time.perf_counter()
        layers = self.builder.build(bits)
        outputs = self._maps.run(layers)
        numbers = layers[-1].formats.maps
        self._output_sqnr = _sqnr(self.float_outputs, outputs, numbers)
        metric = self.images.metric(outputs, numbers.fraction)
        self.trials += 1
        self.seconds += time.perf_counter() - start
        return metric

    def noise(self, base: Bits, bits: Bits) -> float:
        """The noise at the output as a part of its power, on some of the images; quick where ``base`` is the same."""
        if self._noise_base != base:
            layers = self.builder.build(base)
            self._few.run(layers)
            self._few.accept(layers)
            self._noise_base = base
        layers = self.builder.build(bits)
        outputs = self._few.run(layers)
        return float(10 ** (-_sqnr(self.float_outputs[::NOISE_IMAGES], outputs, layers[-1].formats.maps) / 10))

    @property
    def output_sqnr(self) -> float:
        """The SQNR at the output, in decibels, of what was measured last."""
        return self._output_sqnr

    @property
    def accepted_sqnr(self) -> float:
        """The same of what was accepted last."""
        return self._accepted_sqnr

    def accept(self, bits: Bits) -> None:
        """Start the next trials from these bits, which were measured last."""
        self._maps.accept(self.builder.build(bits))
        self._accepted_sqnr = self._output_sqnr
        self.builder.forget(bits)
        self._noise_base = None

    @property
    def layers_run(self) -> int:
        """Layers that were run, over all images and trials: the cache saves the others."""
        return self._maps.layers_run


def _sqnr(exact: Sequence[Float32], found: Sequence[NDArray[np.int32]], numbers: NumberFormat) -> float:
    # Where a network ends in [avgpool], the float output is the mean over the map that is a program's output.
    values = [numbers.decode(own) for own in found]
    if exact[0].shape != values[0].shape:
        values = [own.mean(axis=(1, 2), keepdims=True) for own in values]
    return measured_sqnr(*(np.concatenate([own.ravel() for own in maps]) for maps in (exact, values)))
