"""A first layer for the kernel that reads the image's bytes, and the image as a map for the other families."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.ifq.tensors import IMAGE_BITS, pack_bits
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.image.kernels import (
    CHANNELS,
    COLUMNS,
    PATTERNS,
    ROWS,
    TERMS,
    Filters,
    Planes,
    Target,
    convolve_image,
    convolve_image_parallel,
    pack_image,
    pack_image_parallel,
)
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap


@dataclass(frozen=True, eq=False)
class PackedImageLayer:
    """A first layer, and its numbers for the kernel."""

    layer: QuantizedLayer
    filters: Filters


def fits(layer: QuantizedLayer, read: MapLayout, _write: MapLayout) -> bool:
    """Whether the kernel is made for this layer and an image of this shape."""
    convolution, pool, image = layer.convolution, layer.pool, read.shape
    return (
        read.is_image
        and (convolution.size, convolution.stride, convolution.padding) == (3, 1, 1)
        and pool is not None
        and (pool.size, pool.stride) == (2, 2)
        and pool.padding <= 1
        and image.height % ROWS == image.width % COLUMNS == 0
        and image.channels == CHANNELS
    )


def cost(_layer: QuantizedLayer, _read: MapLayout, _write: MapLayout, _costs: Costs) -> float:
    """Wherever it fits, the kernel is by far the quickest."""
    return 0.0


def pack(layer: QuantizedLayer) -> PackedImageLayer:
    """A layer that the family takes."""
    # Sums and thresholds are int16: a sum is at most 27 bytes, 6885, and a threshold at most one more.
    assert layer.limit + 1 <= np.iinfo(np.int16).max
    bits = layer.sign_bits.transpose(0, 2, 1, 3).reshape(-1, TERMS, 3)  # (filters, row and channel, column)
    # Patterns 0 to 3 are (+ + +), (+ + -), (+ - +), (+ - -): the sign of l is that of the term.
    pattern = (bits != bits[..., :1]) @ np.array([0, 2, 1])
    terms = (np.arange(TERMS) * PATTERNS + pattern) * COLUMNS
    filters = Filters(
        terms=np.where(bits[..., 0], terms, ~terms).astype(np.int32),
        thresholds=layer.thresholds.astype(np.int16),
        flips=pack_bits(layer.flips),
    )
    return PackedImageLayer(layer, filters)


def steps(packed: PackedImageLayer, read: PackedMap, write: PackedMap) -> list[Step]:
    """The whole layer in one step, which reads the image itself in place of the map."""
    layout = write.layout
    target = Target(write.data, layout.plane_bytes, layout.planes, layout.row_bytes, layout.origin)
    step = Step(
        "convolve image, pool",
        convolve_image,
        convolve_image_parallel,
        (*packed.filters, *target),
        2 * layout.shape.height // ROWS,
        write,
        takes_image=True,
        macs=packed.layer.macs(read.layout.shape),
        planes=IMAGE_BITS,
    )
    return [step]


def pack_step(write: PackedMap) -> Step:
    """The image as a map of eight planes."""
    layout = write.layout
    arguments = Planes(write.data, layout.plane_bytes, layout.cells().ravel())
    height = layout.shape.height
    return Step("pack image", pack_image, pack_image_parallel, arguments, height, write, takes_image=True)
