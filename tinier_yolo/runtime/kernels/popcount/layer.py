"""A layer for the popcount kernels, which run every layer, and the last convolution, which only they run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import BinaryConvolution, OutputLayer, QuantizedLayer
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.packing import (
    LANES,
    QUAD,
    Quads,
    bounds,
    constants,
    levels_work,
    pools_quads,
    sign_bits,
    whole_quads,
)
from tinier_yolo.runtime.kernels.pool.layer import pool_step, unpooled
from tinier_yolo.runtime.kernels.popcount.kernels import (
    Levels,
    Outputs,
    Sums,
    convolve,
    convolve_affine,
    convolve_affine_parallel,
    convolve_parallel,
    convolve_pool,
    convolve_pool_parallel,
)
from tinier_yolo.runtime.kernels.popcount.vectors import COUNTS_WORDS
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap, aligned

Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

#: A lane without a filter: no S is below it.
_NEVER = np.iinfo(np.int32).min

# What is done beside words, in slots: for each plane of a window of 16 filters (bytes are counted in bursts, whose ends
# take most of it), and for each bound, or store, of a result.
_PLANE = 4.0 if COUNTS_WORDS else 17.0
_LEVEL = 1.0 if COUNTS_WORDS else 1.8


def fits(_layer: QuantizedLayer, _read: MapLayout, _write: MapLayout) -> bool:
    """They run every layer."""
    return True


def cost(layer: QuantizedLayer, read: MapLayout, write: MapLayout, costs: Costs) -> float:
    """Nanoseconds that a layer should take."""
    filters, _, size, _ = layer.convolution.weight_shape
    _, height, width = layer.convolved(read.shape)
    windows, words = height * width, size * -(-read.channel_bytes * size // 4)
    results = write.shape.height * write.shape.width if pools_quads(layer) else windows
    summed = windows * layer.input_bits * (words * costs.word + _PLANE * costs.slot)
    return -(-filters // LANES) * (summed + results * levels_work(layer.bits) * _LEVEL * costs.slot)


def pack(layer: QuantizedLayer) -> PackedLayer:
    """A layer's weights and thresholds."""
    return PackedLayer(layer, PackedWeights.of(layer), PackedThresholds.of(layer))


def steps(packed: PackedLayer, read: PackedMap, write: PackedMap) -> list[Step]:
    """The convolution, and the pool where the kernel does not do it."""
    if packed.layer.pool is None or pools_quads(packed.layer):
        return [_convolve_step(packed, read, write, packed.thresholds.flips)]
    made = unpooled(packed.layer, read)
    convolution = _convolve_step(packed, read, made, np.zeros_like(packed.thresholds.flips))
    return [convolution, pool_step(packed.layer, made, write)]


def _convolve_step(packed: PackedLayer, read: PackedMap, write: PackedMap, flips: Words) -> Step:
    layer, layout = packed.layer, write.layout
    quads = Quads.of(layer, read.layout, layout)
    levels = Levels(
        bounds=packed.thresholds.bounds,
        toggles=packed.thresholds.toggles,
        flips=flips,
        target=write.data,
        plane=layout.plane_bytes,
        planes=layout.planes,
        cell=layout.channel_bytes,
        cells=quads.cells,
    )
    pooled = pools_quads(layer)
    return Step(
        "convolve, pool" if pooled else "convolve",
        convolve_pool if pooled else convolve,
        convolve_pool_parallel if pooled else convolve_parallel,
        (*packed.weights.sums(read, quads.windows), *levels),
        len(quads),
        write,
        macs=layer.macs(read.layout.shape),
        planes=read.layout.planes,
    )


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A quantised layer."""

    layer: QuantizedLayer
    weights: PackedWeights
    thresholds: PackedThresholds


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """The sign bits of a convolution.

    Attributes:
        words: int32 [filter / 16][word][16], aligned; whole words first.
        whole: how many words of 32 valid bits a filter has.
        mask: the bits that are valid in the others, uint32.
        size: rows of the kernel.
    """

    words: Int32
    whole: int
    mask: int
    size: int

    @classmethod
    def of(cls, layer: BinaryConvolution) -> PackedWeights:
        """Pack a layer's weights."""
        filters, channels, size, _ = layer.convolution.weight_shape
        bits = sign_bits(layer, filters, -(-channels // 8) * 8)
        rows = np.packbits(bits, axis=-1, bitorder="little").reshape(filters, size, -1)
        whole, rest = divmod(rows.shape[2], 4)
        rows = np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % 4)))
        words = np.ascontiguousarray(rows).view("<u4")
        ordered = np.concatenate(
            [words[:, :, :whole].reshape(filters, -1), words[:, :, whole:].reshape(filters, -1)], axis=1
        )
        return cls(lanes(ordered.astype(np.uint32).view(np.int32), 0), size * whole, (1 << 8 * rest) - 1, size)

    def taps(self, row_bytes: int) -> Int32:
        """The byte offset of each word from its window's, in a map with that many bytes from row to row."""
        rows = np.arange(self.size)[:, None] * row_bytes
        whole = self.whole // self.size
        tail = [rows[:, 0] + 4 * whole] if self.mask else []
        return np.concatenate([(rows + 4 * np.arange(whole)).ravel(), *tail]).astype(np.int32)

    def sums(self, read: PackedMap, windows: Int32) -> Sums:
        """The kernels' argument, for windows of a map at these byte offsets in a plane, four to a quad."""
        return Sums(
            source=read.data,
            plane=read.layout.plane_bytes,
            planes=read.layout.planes,
            windows=windows,
            weights=self.words,
            taps=self.taps(read.layout.row_bytes),
            whole=self.whole,
            mask=np.uint32(self.mask),
        )


@dataclass(frozen=True, eq=False)
class PackedThresholds:
    """The thresholds of a quantised layer, in terms of S, and its flips.

    Attributes:
        bounds: int32 [filter / 16][threshold][16], aligned.
        toggles: uint64 (thresholds,).
        flips: uint64 (groups of 16 filters,): ones in all planes of the filters whose level is reversed.
    """

    bounds: Int32
    toggles: Words
    flips: Words

    @classmethod
    def of(cls, layer: QuantizedLayer) -> PackedThresholds:
        """Pack a layer's thresholds."""
        planes = range(layer.bits)
        toggles = [sum(1 << LANES * p for p in planes if i % (1 << p) == 0) for i in range(1, 1 << layer.bits)]
        halves = np.packbits(np.pad(layer.flips, (0, -len(layer.flips) % LANES)), bitorder="little").view("<u2")
        flips = halves.astype(np.uint64) * np.uint64(sum(1 << LANES * p for p in planes))
        return cls(lanes(bounds(layer).astype(np.int32), _NEVER), np.array(toggles, np.uint64), flips)


@dataclass(frozen=True, eq=False)
class PackedOutput:
    """The last convolution: output = multiplier * S + bias.

    Attributes:
        layer: the layer.
        weights: its weights.
        multipliers: int32, aligned, padded to groups of 16 filters.
        biases: the same.
    """

    layer: OutputLayer
    weights: PackedWeights
    multipliers: Int32
    biases: Int32

    @classmethod
    def of(cls, layer: OutputLayer) -> PackedOutput:
        """Pack the last layer."""
        # m * (n B - S) + b. Partial results may leave int32; they wrap around, and the sum is right again.
        biases = (layer.multipliers * constants(layer) + layer.biases).astype(np.int32)
        return cls(layer, PackedWeights.of(layer), lanes(-layer.multipliers[:, None], 0), lanes(biases[:, None], 0))


def output_step(packed: PackedOutput, read: PackedMap) -> tuple[Int32, Step]:
    """The last convolution: its result, int32 [cell][filter] with more of both than there are, and what computes it."""
    layer, layout = packed.layer, read.layout
    _, height, width = layer.convolved(layout.shape)
    windows = whole_quads(layout.windows(layer.convolution, height, width).ravel())
    result = aligned((windows.size, packed.biases.size), np.int32)
    arguments = (*packed.weights.sums(read, windows), *Outputs(packed.multipliers, packed.biases, result.reshape(-1)))
    units, macs = windows.size // QUAD, layer.macs(layout.shape)
    step = Step(
        "convolve", convolve_affine, convolve_affine_parallel, arguments, units, None, macs=macs, planes=layout.planes
    )
    return result, step


def lanes(values: Int32, filler: int) -> Int32:
    """(filters, n) -> aligned [filter / 16][n][16], with ``filler`` where there is no filter."""
    filters, n = values.shape
    groups = -(-filters // LANES)
    packed: Int32 = aligned((groups, n, LANES), np.int32)
    padded = np.full((groups * LANES, n), filler, np.int32)
    padded[:filters] = values
    packed[:] = padded.reshape(groups, LANES, n).transpose(0, 2, 1)
    return packed.reshape(-1)
