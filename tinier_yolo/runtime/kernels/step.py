"""Steps: kernels with their arguments, and which kernel a layer gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import MaxPool, Shape
from tinier_yolo.ifq.program import BinaryConvolution, QuantizedLayer
from tinier_yolo.ifq.tensors import IMAGE_BITS
from tinier_yolo.runtime.kernels.image import kernels as kernels_image
from tinier_yolo.runtime.kernels.lookup import kernels as kernels_lookup
from tinier_yolo.runtime.kernels.lookup.kernels import FILTERS
from tinier_yolo.runtime.kernels.lookup.layer import PackedLookup, levels, pays_off
from tinier_yolo.runtime.kernels.packing import (
    MapLayout,
    PackedImageLayer,
    PackedOutput,
    PackedThresholds,
    PackedWeights,
    aligned,
    pooled_cells,
)
from tinier_yolo.runtime.kernels.popcount import kernels
from tinier_yolo.runtime.kernels.rows import kernels as kernels_rows
from tinier_yolo.runtime.kernels.rows.layer import PackedRows

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

#: Windows that a call of ``_four_sums`` takes.
QUAD = 4


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A quantised layer in the kernels' layouts, each made when a kernel first needs it, for every size of image."""

    layer: QuantizedLayer

    @cached_property
    def image(self) -> PackedImageLayer:
        """For the kernel that reads an image."""
        return PackedImageLayer.of(self.layer)

    @cached_property
    def rows(self) -> PackedRows:
        """For the kernel with pixels in the lanes."""
        return PackedRows.of(self.layer)

    @cached_property
    def lookup(self) -> PackedLookup | None:
        """For the kernels that look sums up; None where they do not pay off."""
        return PackedLookup.of(self.layer) if pays_off(self.layer) else None

    @cached_property
    def weights(self) -> PackedWeights:
        """For the kernels that count bits."""
        return PackedWeights.of(self.layer)

    @cached_property
    def thresholds(self) -> PackedThresholds:
        """For the kernels that count bits, and for the pool's."""
        return PackedThresholds.of(self.layer)


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
        scratch: bytes that a thread needs while it works, beside the maps.
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
    scratch: int = 0

    def run(self, image: Bytes, threads: int = 1) -> None:
        """Do all units, on this thread or on several: ``kernels_parallel.set_threads`` must have allowed those."""
        arguments = (image, *self.arguments) if self.takes_image else self.arguments
        if threads == 1:
            self.kernel(*arguments, 0, self.units)
        else:
            from tinier_yolo.runtime.kernels.threads import PARALLEL

            PARALLEL[self.kernel](threads, self.units, *arguments)


def image_step(layer: PackedLayer, image: Shape, target: PackedMap) -> Step:
    """The first layer, from the bytes of an image of this shape, where ``PackedImageLayer`` fits."""
    packed, layout = layer.image, target.layout
    cells = layout.cells()
    arguments = (packed.terms, packed.thresholds, packed.flips, target.data)
    place = (layout.plane_bytes, layout.planes, int(cells[0, 0]), layout.row_bytes)
    units = 2 * layout.shape.height // kernels_image.ROWS
    step = Step("convolve image, pool", 0, kernels_image.convolve_image, (*arguments, *place), units, target)
    return replace(step, takes_image=True, macs=layer.layer.macs(image), planes=IMAGE_BITS)


def pack_step(target: PackedMap) -> Step:
    """The image as a map of eight planes."""
    arguments = (target.data, target.layout.plane_bytes, target.layout.cells().ravel())
    rows = target.layout.shape.height
    return Step("pack image", 0, kernels_image.pack_image, arguments, rows, target, takes_image=True)


def layer_steps(number: int, layer: PackedLayer, source: PackedMap, target: PackedMap) -> list[Step]:
    """A quantised layer: its convolution, and its pool where no kernel does both."""
    pool, convolution = layer.layer.pool, layer.layer.convolution
    convolved = layer.layer.convolved(source.layout.shape)
    # Of few filters most lanes of a lookup are idle.
    looked_up = layer.lookup is not None and convolution.filters > FILTERS
    if not looked_up and PackedRows.pays_off(layer.layer, convolved, target.layout.shape):
        return [_rows_step(number, layer, source, target)]
    _, height, width = convolved
    windows = source.layout.windows(convolution, height, width).ravel()
    if pool is not None and (pool.size, pool.stride) == (2, 2):
        windows = windows[pooled_cells(pool, height, width, target.layout.shape)].ravel()
        return [_convolve_step(number, layer, source, windows, target, pooled=True)]
    # The maximum of levels is the level of the maximum as long as no level has been reversed.
    made = target if pool is None else PackedMap.of(convolved, layer.layer.bits, 0)
    convolve = _convolve_step(number, layer, source, _quads(windows), made, pooled=False)
    return [convolve] if pool is None else [convolve, _pool_step(number, pool, layer, made, target)]


def _convolve_step(
    number: int,
    layer: PackedLayer,
    source: PackedMap,
    windows: Int32,
    target: PackedMap,
    pooled: bool,
) -> Step:
    flipped = pooled or layer.layer.pool is None
    kernel: Callable[..., None]
    arguments: tuple[Any, ...]
    cells = target.layout.cells().ravel()
    cells = cells if pooled else _quads(cells)
    if layer.lookup is not None:
        kernel = kernels_lookup.convolve_lookup_pool if pooled else kernels_lookup.convolve_lookup
        lookup = layer.lookup.lookup(source.layout, source.data, windows)
        arguments = (*lookup, *levels(layer.layer, flipped, target.layout, target.data, cells))
        scratch = layer.lookup.scratch(lookup)
    else:
        kernel = kernels.convolve_pool if pooled else kernels.convolve
        flips = layer.thresholds.flips if flipped else np.zeros_like(layer.thresholds.flips)
        arguments = (*_sums(source, layer.weights, windows), *_levels(layer.thresholds, flips, target, cells))
        scratch = 0
    name = ("look up" if layer.lookup else "convolve") + (", pool" if pooled else "")
    step = Step(name, number, kernel, arguments, windows.size // QUAD, target)
    macs = layer.layer.macs(source.layout.shape)
    return replace(step, macs=macs, planes=source.layout.planes, scratch=scratch)


def _rows_step(number: int, layer: PackedLayer, source: PackedMap, target: PackedMap) -> Step:
    packed, read, made = layer.rows, source.layout, target.layout
    given = (source.data, read.plane_bytes, read.planes, read.row_bytes, read.channel_bytes, 2 * made.shape.width)
    numbers = (packed.terms, packed.run, packed.runs, packed.bounds, packed.flips, packed.filters)
    place = (target.data, made.plane_bytes, made.planes, made.row_bytes, made.channel_bytes, int(made.cells()[0, 0]))
    arguments = (*given, *numbers, *place)
    step = Step("convolve, pool", number, kernels_rows.convolve_rows, arguments, made.shape.height, target)
    return replace(step, macs=layer.layer.macs(read.shape), planes=read.planes)


def _pool_step(number: int, pool: MaxPool, layer: PackedLayer, source: PackedMap, target: PackedMap) -> Step:
    _, height, width = source.layout.shape
    picked = pooled_cells(pool, height, width, target.layout.shape)
    windows, cells = source.layout.cells().ravel()[picked].ravel(), target.layout.cells().ravel()
    given = (source.data, source.layout.plane_bytes, source.layout.planes, windows, pool.size**2)
    made = (layer.thresholds.flip_bytes, target.data, target.layout.plane_bytes, cells)
    return Step("pool", number, kernels.pool, (*given, *made), cells.size, target)


def output_step(
    number: int, last: BinaryConvolution, weights: PackedWeights, output: PackedOutput, source: PackedMap
) -> tuple[Int32, Step]:
    """The last convolution: its result, see ``Plan``, and the step that computes it."""
    _, height, width = last.convolved(source.layout.shape)
    windows = _quads(source.layout.windows(last.convolution, height, width).ravel())
    result = aligned((windows.size, output.biases.size), np.int32)
    arguments = (*_sums(source, weights, windows), output.multipliers, output.biases, result.reshape(-1))
    step = Step("convolve", number, kernels.convolve_affine, arguments, windows.size // QUAD, None)
    return result, replace(step, macs=last.macs(source.layout.shape), planes=source.layout.planes)


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
