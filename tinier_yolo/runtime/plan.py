"""Plan: the kernel calls and the buffers that run a program on images of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import Program
from tinier_yolo.ifq.tensors import IMAGE_BITS
from tinier_yolo.runtime.kernels.select import PackedLayer, PackedOutputLayer
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PackedProgram:
    """A program whose layers are packed for the kernels: once, for images of every size."""

    program: Program
    layers: tuple[PackedLayer, ...]
    output: PackedOutputLayer

    @classmethod
    def of(cls, program: Program) -> PackedProgram:
        """Pack a program."""
        layers = tuple(PackedLayer(layer) for layer in program.layers)
        return cls(program, layers, PackedOutputLayer.of(program.output))

    def plan(self, height: int, width: int) -> Plan:
        """Plan for images of this size; see :meth:`Plan.of`."""
        return Plan.of(self, height, width)


@dataclass(frozen=True, eq=False)
class Plan:
    """What runs a program on images of one size: kernel calls, and the memory that they read and write.

    Attributes:
        steps: the kernel calls, in order.
        maps: the output map of each quantised layer.
        result: what the last convolution writes, int32 [cell][filter]. It is padded: its rows to a multiple of 4
            cells, its columns to a whole vector of filters.
        shape: the shape of the output map: channels, height, width.
    """

    steps: tuple[Step, ...]
    maps: tuple[PackedMap, ...]
    result: Int32
    shape: Shape

    @classmethod
    def of(cls, packed: PackedProgram, height: int, width: int) -> Plan:
        """Plan for images of this size.

        Raises:
            CfgError: the network cannot take it.
            UsageError: a map would be too large.
        """
        program = packed.program
        image, *outputs, shape = program.shapes(height, width)
        # A map has a border of zeros as wide as the padding of the convolution that reads it.
        first, *borders = (layer.convolution.padding for layer in (*program.layers, program.output))
        steps: list[Step] = []
        maps: list[PackedMap] = []
        read = PackedMap(MapLayout(image, IMAGE_BITS, first))
        for number, (layer, made, border) in enumerate(zip(packed.layers, outputs, borders, strict=True)):
            write = PackedMap(MapLayout(made, layer.layer.bits, border))
            steps += [replace(step, layer=number) for step in layer.steps(read, write)]
            maps.append(write)
            read = write
        result, last = packed.output.steps(read)
        steps += [replace(step, layer=len(packed.layers)) for step in last]
        return cls(tuple(steps), tuple(maps), result, shape)

    @property
    def scratch_bytes(self) -> int:
        """The most scratch memory that any step needs for each thread: for tables and sums."""
        return max(step.scratch for step in self.steps)

    @property
    def map_bytes(self) -> int:
        """Memory of all maps: the layers' outputs, unpooled ones of separate pools, the packed image, the result."""
        return sum(step.target.data.nbytes for step in self.steps if step.target) + self.result.nbytes

    def run(self, image: Bytes, threads: int = 1) -> Int32:
        """The output map, int32 (channels, height, width), a new array."""
        for step in self.steps:
            step.run(image, threads)
        channels, height, width = self.shape
        cells = self.result[: height * width, :channels].reshape(height, width, channels)
        return np.ascontiguousarray(cells.transpose(2, 0, 1))
