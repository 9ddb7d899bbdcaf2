"""The kernel calls and the buffers that run a fixed-point program on images of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.runtime.kernels.products.layer import IntegerMap, PackedLayer, widen_step
from tinier_yolo.runtime.kernels.step import Step


@dataclass(frozen=True, eq=False)
class PackedFixedPointProgram:
    """A program whose layers are packed for the kernels: once, for images of every size."""

    program: FixedPointProgram
    layers: tuple[PackedLayer, ...]

    @classmethod
    def of(cls, program: FixedPointProgram) -> PackedFixedPointProgram:
        """Pack a program."""
        return cls(program, tuple(PackedLayer.of(layer, number == 0) for number, layer in enumerate(program.layers)))

    def plan(self, height: int, width: int) -> FixedPointPlan:
        """Plan for images of this size.

        Raises:
            CfgError: the network cannot take it, or its maps are too large.
        """
        image, *maps = integer_maps(self.program, height, width)
        steps, read = [widen_step(image)], image
        for number, (layer, write) in enumerate(zip(self.layers, maps, strict=True)):
            steps += [replace(step, layer=number) for step in layer.steps(read, write)]
            read = write
        return FixedPointPlan(tuple(steps), tuple(maps))


@dataclass(frozen=True, eq=False)
class FixedPointPlan:
    """What runs a program on images of one size: kernel calls, and the memory that they read and write.

    Attributes:
        steps: the kernel calls, in order.
        maps: the output map of each layer.
    """

    steps: tuple[Step, ...]
    maps: tuple[IntegerMap, ...]

    @property
    def scratch_bytes(self) -> int:
        """The memory that a thread needs beside the maps: none."""
        return 0

    @property
    def map_bytes(self) -> int:
        """The memory of all maps."""
        return sum(step.target.data.nbytes for step in self.steps if step.target)

    def run(self, image: NDArray[np.uint8], threads: int = 1) -> NDArray[np.int32]:
        """The output map, int32 (channels, height, width), a new array."""
        for step in self.steps:
            step.run(image, threads)
        return self.maps[-1].values().astype(np.int32)


def integer_maps(program: FixedPointProgram, height: int, width: int) -> list[IntegerMap]:
    """The image's map and that of each layer, for images of this size.

    Raises:
        CfgError: the network cannot take it, or its maps are too large.
    """
    # A map has a border of zeros as wide as the padding of the convolution that reads it.
    borders = (*(layer.convolution.padding for layer in program.layers), 0)
    shapes = program.shapes(height, width)
    pairs = zip(shapes, borders, strict=True)
    return [IntegerMap(shape, border, number == 0) for number, (shape, border) in enumerate(pairs)]
