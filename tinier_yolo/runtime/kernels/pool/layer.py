"""The max pool of a layer as a step of its own, behind a convolution of any family."""

from __future__ import annotations

from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.ifq.tensors import pack_bits
from tinier_yolo.runtime.kernels.packing import pooled_cells
from tinier_yolo.runtime.kernels.pool.kernels import Pool, pool, pool_parallel
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap


def unpooled(layer: QuantizedLayer, read: PackedMap) -> PackedMap:
    """A map for the levels before the pool.

    The maximum of levels is the level of the maximum as long as no level has been reversed: so the convolution leaves
    the flips to the pool.
    """
    return PackedMap(MapLayout(layer.convolved(read.layout.shape), layer.bits, 0))


def pool_step(layer: QuantizedLayer, read: PackedMap, write: PackedMap) -> Step:
    """The pool of a layer that has one, and its flips."""
    assert layer.pool is not None, "a step for a pool that is none"
    _, height, width = read.layout.shape
    picked = pooled_cells(layer.pool, height, width, write.layout.shape)
    cells = write.layout.cells().ravel()
    arguments = Pool(
        source=read.data,
        plane=read.layout.plane_bytes,
        planes=read.layout.planes,
        windows=read.layout.cells().ravel()[picked].ravel(),
        size=layer.pool.size**2,
        flips=pack_bits(layer.flips),
        target=write.data,
        target_plane=write.layout.plane_bytes,
        cells=cells,
    )
    return Step("pool", pool, pool_parallel, arguments, cells.size, write)
