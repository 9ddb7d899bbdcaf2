"""Every family of kernels on every layer that it can run: whether ``runtime.kernels.select`` chooses the best."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import Program, QuantizedLayer
from tinier_yolo.ifq.tensors import IMAGE_BITS
from tinier_yolo.runtime.kernels import select
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap

#: Seconds of a burst: long enough for the clock, and short enough to fall between two interruptions.
_BURST = 0.004


@dataclass(frozen=True)
class Choice:
    """A layer by every family that can run it.

    Attributes:
        layer: its number.
        chosen: the family that ``select`` gives it.
        milliseconds: the best time of each family, by name.
    """

    layer: int
    chosen: str
    milliseconds: Mapping[str, float]

    @property
    def loss(self) -> float:
        """How many milliseconds more than the best family's the chosen one takes."""
        return self.milliseconds[self.chosen] - min(self.milliseconds.values())


def time_choices(program: Program, height: int, width: int, rounds: int) -> tuple[Choice, ...]:
    """Time all families on all quantised layers, those of a layer in turns, on random maps.

    Args:
        program: the program.
        height: of the image.
        width: of the image.
        rounds: bursts of each family.
    """
    rng = np.random.default_rng(0)
    image, *outputs, _ = program.shapes(height, width)
    pixels = rng.integers(0, 256, (height, width, image.channels)).astype(np.uint8)
    borders = [layer.convolution.padding for layer in (*program.layers, program.output)]
    read, choices = MapLayout(image, IMAGE_BITS, borders[0]), []
    for number, (layer, made, border) in enumerate(zip(program.layers, outputs, borders[1:], strict=True)):
        write = MapLayout(made, layer.bits, border)
        choices.append(_choice(number, layer, _random_map(read, rng), write, pixels, rounds))
        read = write
    return tuple(choices)


def _choice(
    number: int, layer: QuantizedLayer, read: PackedMap, write: MapLayout, pixels: NDArray[np.uint8], rounds: int
) -> Choice:
    able = [family for family in select.FAMILIES if family.fits(layer, read.layout, write)]
    chosen = select.chosen(layer, read.layout, write)
    steps = {_name(family): _steps(family, layer, read, write) for family in able}
    best = {name: _burst(made, pixels, 1) for name, made in steps.items()}  # compiled by the first of its runs
    for _ in range(rounds):
        for name, made in steps.items():
            best[name] = min(best[name], _burst(made, pixels, max(1, int(_BURST / best[name]))))
    return Choice(number, _name(chosen), {name: seconds * 1e3 for name, seconds in best.items()})


def _steps(family: select.Family, layer: QuantizedLayer, read: PackedMap, write: MapLayout) -> list[Step]:
    return select.with_image(family.steps(family.pack(layer), read, PackedMap(write)), read)


def _burst(steps: list[Step], pixels: NDArray[np.uint8], runs: int) -> float:
    # Seconds of a run, after one that brings the layer's memory into the caches.
    for step in steps:
        step.run(pixels)
    start = time.perf_counter()
    for _ in range(runs):
        for step in steps:
            step.run(pixels)
    return (time.perf_counter() - start) / runs


def _random_map(layout: MapLayout, rng: np.random.Generator) -> PackedMap:
    # Zeros between the rows count as well as others would: no kernel's time depends on the bits.
    made = PackedMap(layout)
    if not layout.is_image:
        made.data[:] = rng.integers(0, 256, made.data.size)
    return made


def _name(family: select.Family) -> str:
    """The name of a family's folder."""
    module: str = family.__name__  # type: ignore[attr-defined]
    return module.split(".")[-2]
