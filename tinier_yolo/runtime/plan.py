"""Plan: the kernel calls and the buffers that run a program on images of one size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import MaxPool, Shape
from tinier_yolo.quantization.float64 import IMAGE_BITS
from tinier_yolo.quantization.program import Program, QuantizedLayer
from tinier_yolo.quantization.substructures import Substructure, integer_chain
from tinier_yolo.runtime import kernels, kernels_image, kernels_rows
from tinier_yolo.runtime.packing import (
    MapLayout,
    PackedImageLayer,
    PackedOutput,
    PackedThresholds,
    PackedWeights,
    aligned,
    pooled_cells,
)
from tinier_yolo.runtime.packing_rows import PackedRows

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

#: Windows that a call of ``_four_sums`` takes.
QUAD = 4


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A quantised layer in the kernels' layouts."""

    layer: QuantizedLayer
    weights: PackedWeights
    thresholds: PackedThresholds


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
        layers = tuple(
            PackedLayer(layer, PackedWeights.of(layer), PackedThresholds.of(layer)) for layer in program.layers
        )
        return cls(program, layers, PackedWeights.of(program.output), PackedOutput.of(program.output))


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A map: its layout and its bytes."""

    layout: MapLayout
    data: Bytes

    @classmethod
    def of(cls, shape: Shape, planes: int, border: int) -> PackedMap:
        """A map of zeros."""
        layout = MapLayout(shape, planes, border)
        return cls(layout, layout.allocate())

    def levels(self) -> Bytes:
        """Its levels, uint8 (channels, height, width)."""
        return self.layout.unpack(self.data)


@dataclass(frozen=True, eq=False)
class Step:
    """A kernel with its arguments.

    Attributes:
        name: what it does, for tables.
        layer: the number of the layer that it belongs to, from 0.
        kernel: called with the image if ``takes_image``, the arguments, and a range of units.
        arguments: see ``kernel``.
        units: how many units there are; any ranges that cover them do, in any order.
        target: the map that it writes; None for the output's.
        takes_image: see ``kernel``.
        macs: multiply-accumulates of its convolution; 0 where it has none.
        planes: bits of a level of its input map.
    """

    name: str
    layer: int
    kernel: Callable[..., None]
    arguments: tuple[Any, ...]
    units: int
    target: PackedMap | None
    takes_image: bool = False
    macs: int = 0
    planes: int = 0

    def run(self, image: Bytes, threads: int = 1) -> None:
        """Do all units, on this thread or on several: ``kernels_parallel.set_threads`` must have allowed those."""
        arguments = (image, *self.arguments) if self.takes_image else self.arguments
        if threads == 1:
            self.kernel(*arguments, 0, self.units)
        else:
            from tinier_yolo.runtime.kernels_parallel import PARALLEL

            PARALLEL[self.kernel](threads, self.units, *arguments)


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
        *quantized, last = integer_chain(packed.program.network.resized(width, height))
        borders = [substructure.convolution.padding for substructure in (*quantized, last)]
        image = quantized[0].convolution.input if quantized else last.convolution.input
        steps: list[Step] = []
        maps: list[PackedMap] = []
        source: PackedMap | None = None
        for number, (substructure, layer) in enumerate(zip(quantized, packed.layers, strict=True)):
            target = PackedMap.of(substructure.layers[-1].output, layer.layer.bits, borders[number + 1])
            if source is None and PackedImageLayer.fits(layer.layer, image):
                steps.append(_image_step(layer, target, substructure.convolution.macs))
            else:
                if source is None:
                    source = PackedMap.of(image, layer.layer.input_bits, borders[0])
                    steps.append(_pack_step(source))
                steps.extend(_layer_steps(number, substructure, layer, source, target))
            maps.append(target)
            source = target
        if source is None:
            source = PackedMap.of(image, packed.program.output.input_bits, borders[0])
            steps.append(_pack_step(source))
        result, step = _output_step(packed, last, source)
        return cls((*steps, step), tuple(maps), result, last.convolution.output)

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


def _image_step(layer: PackedLayer, target: PackedMap, macs: int) -> Step:
    packed, layout = PackedImageLayer.of(layer.layer), target.layout
    cells = layout.cells()
    arguments = (packed.terms, packed.signs, packed.thresholds, packed.flips, target.data)
    place = (layout.plane_bytes, layout.planes, int(cells[0, 0]), layout.row_bytes)
    units = 2 * layout.shape.height // kernels_image.ROWS
    step = Step("convolve image, pool", 0, kernels_image.convolve_image, (*arguments, *place), units, target)
    return replace(step, takes_image=True, macs=macs, planes=IMAGE_BITS)


def _pack_step(target: PackedMap) -> Step:
    arguments = (target.data, target.layout.plane_bytes, target.layout.cells().ravel())
    rows = target.layout.shape.height
    return Step("pack image", 0, kernels_image.pack_image, arguments, rows, target, takes_image=True)


def _layer_steps(
    number: int, substructure: Substructure, layer: PackedLayer, source: PackedMap, target: PackedMap
) -> list[Step]:
    pool, convolution, flips = substructure.pool, substructure.convolution, layer.thresholds.flips
    if PackedRows.pays_off(layer.layer, convolution.output, target.layout.shape):
        return [_rows_step(number, layer.layer, convolution.macs, source, target)]
    _, height, width = convolution.output
    windows = source.layout.windows(convolution, height, width).ravel()
    macs, planes = convolution.macs, source.layout.planes
    if pool is not None and (pool.size, pool.stride) == (2, 2):
        windows = windows[pooled_cells(pool, height, width, target.layout.shape)].ravel()
        cells = target.layout.cells().ravel()
        arguments = (*_sums(source, layer.weights, windows), *_levels(layer.thresholds, flips, target, cells))
        step = Step("convolve, pool", number, kernels.convolve_pool, arguments, cells.size, target)
        return [replace(step, macs=macs, planes=planes)]
    # The maximum of levels is the level of the maximum as long as no level has been reversed.
    made = target if pool is None else PackedMap.of(convolution.output, layer.layer.bits, 0)
    flips = flips if pool is None else np.zeros_like(flips)
    windows, cells = _quads(windows), _quads(made.layout.cells().ravel())
    arguments = (*_sums(source, layer.weights, windows), *_levels(layer.thresholds, flips, made, cells))
    step = Step("convolve", number, kernels.convolve, arguments, cells.size // QUAD, made)
    convolve = replace(step, macs=macs, planes=planes)
    return [convolve] if pool is None else [convolve, _pool_step(number, pool, layer, made, target)]


def _rows_step(number: int, layer: QuantizedLayer, macs: int, source: PackedMap, target: PackedMap) -> Step:
    packed, read, made = PackedRows.of(layer), source.layout, target.layout
    given = (source.data, read.plane_bytes, read.planes, read.row_bytes, read.channel_bytes, 2 * made.shape.width)
    numbers = (packed.terms, packed.run, packed.runs, packed.bounds, packed.flips, packed.filters)
    place = (target.data, made.plane_bytes, made.planes, made.row_bytes, made.channel_bytes, int(made.cells()[0, 0]))
    arguments = (*given, *numbers, *place)
    step = Step("convolve, pool", number, kernels_rows.convolve_rows, arguments, made.shape.height, target)
    return replace(step, macs=macs, planes=read.planes)


def _pool_step(number: int, pool: MaxPool, layer: PackedLayer, source: PackedMap, target: PackedMap) -> Step:
    _, height, width = source.layout.shape
    picked = pooled_cells(pool, height, width, target.layout.shape)
    windows, cells = source.layout.cells().ravel()[picked].ravel(), target.layout.cells().ravel()
    given = (source.data, source.layout.plane_bytes, source.layout.planes, windows, pool.size**2)
    made = (layer.thresholds.flip_bytes, target.data, target.layout.plane_bytes, cells)
    return Step("pool", number, kernels.pool, (*given, *made), cells.size, target)


def _output_step(packed: PackedProgram, last: Substructure, source: PackedMap) -> tuple[Int32, Step]:
    _, height, width = last.convolution.output
    windows = _quads(source.layout.windows(last.convolution, height, width).ravel())
    result = aligned((windows.size, packed.output.biases.size), np.int32)
    numbers = (packed.output.multipliers, packed.output.biases, result.reshape(-1))
    arguments = (*_sums(source, packed.output_weights, windows), *numbers)
    step = Step("convolve", len(packed.layers), kernels.convolve_affine, arguments, windows.size // QUAD, None)
    return result, replace(step, macs=last.convolution.macs, planes=source.layout.planes)


def _sums(source: PackedMap, weights: PackedWeights, windows: Int32) -> tuple[Any, ...]:
    layout = source.layout
    taps = weights.taps(layout.row_bytes)
    place = (source.data, layout.plane_bytes, layout.planes, windows)
    return (*place, weights.words, taps, weights.whole, np.uint32(weights.mask))


def _levels(thresholds: PackedThresholds, flips: Words, target: PackedMap, cells: Int32) -> tuple[Any, ...]:
    layout = target.layout
    place = (target.data, layout.plane_bytes, layout.planes, layout.channel_bytes, cells)
    return (thresholds.bounds, thresholds.toggles, flips, *place)


def _quads(offsets: Int32) -> Int32:
    # Whole quads: the last offset again, and the same result twice.
    return np.pad(offsets, (0, -offsets.size % QUAD), mode="edge")
