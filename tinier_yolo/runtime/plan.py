"""Plan: the kernel calls and the buffers that run a program on images of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import Program
from tinier_yolo.ifq.tensors import IMAGE_BITS
from tinier_yolo.runtime.kernels.packing import PackedImageLayer, PackedOutput, PackedWeights
from tinier_yolo.runtime.kernels.step import (
    PackedLayer,
    PackedMap,
    Step,
    image_step,
    layer_steps,
    output_step,
    pack_step,
)

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PackedProgram:
    """A program in the kernels' layouts, for every size of image."""

    program: Program
    layers: tuple[PackedLayer, ...]
    output_weights: PackedWeights
    output: PackedOutput

    @classmethod
    def of(cls, program: Program) -> PackedProgram:
        """Pack a program."""
        layers = tuple(PackedLayer(layer) for layer in program.layers)
        return cls(program, layers, PackedWeights.of(program.output), PackedOutput.of(program.output))


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of a program for one size of image.

    Attributes:
        steps: to be run in order.
        maps: the output map of each quantised layer.
        result: the last layer's, int32 [cell][filter], with more of both than there are.
        shape: what of it counts: channels, height, width.
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
        # A map has the border of zeros that the convolution after it asks for.
        first, *borders = (layer.convolution.padding for layer in (*program.layers, program.output))
        steps: list[Step] = []
        maps: list[PackedMap] = []
        source: PackedMap | None = None
        if not packed.layers or not PackedImageLayer.fits(packed.layers[0].layer, image):
            source = PackedMap.of(image, IMAGE_BITS, first)
            steps.append(pack_step(source))
        for number, (layer, made, border) in enumerate(zip(packed.layers, outputs, borders, strict=True)):
            target = PackedMap.of(made, layer.layer.bits, border)
            if source is None:
                steps.append(image_step(layer, image, target))
            else:
                steps.extend(layer_steps(number, layer, source, target))
            maps.append(target)
            source = target
        assert source is not None, "the image was packed, or the first layer has made a map of it"
        result, step = output_step(len(packed.layers), program.output, packed.output_weights, packed.output, source)
        return cls((*steps, step), tuple(maps), result, shape)

    @property
    def scratch_bytes(self) -> int:
        """The memory that a thread needs at most beside the maps: for tables and sums."""
        return max(step.scratch for step in self.steps)

    @property
    def map_bytes(self) -> int:
        """The memory of all maps: those of the layers, the unpooled and the packed image's, and the output's."""
        return sum(step.target.data.nbytes for step in self.steps if step.target) + self.result.nbytes

    def run(self, image: Bytes, threads: int = 1) -> Int32:
        """The output map, int32 (channels, height, width), a new array."""
        for step in self.steps:
            step.run(image, threads)
        channels, height, width = self.shape
        cells = self.result[: height * width, :channels].reshape(height, width, channels)
        return np.ascontiguousarray(cells.transpose(2, 0, 1))
