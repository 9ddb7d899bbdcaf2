"""From a layer's tensors to the layout of ``kernels_rows``, and which layers are worth it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels.packing import LANES, constants, sign_bits
from tinier_yolo.runtime.kernels.popcount.vectors import COUNTS_WORDS
from tinier_yolo.runtime.kernels.rows.kernels import CHANNELS, COLUMNS, MOST_BITS, PATTERNS, PIXELS, SLOT

Int16 = NDArray[np.int16]
Int64 = NDArray[np.int64]

#: The most channels whose sums, of four rows, are 64 KiB: a cache of the second level has room for them.
_MOST_CHANNELS = 64
#: Where ``convolve_pool`` is quicker, as measured on Zen 4: at less than this share of lanes that are in use, for each
#: bit of a level, with LLVM's targets "haswell" and "x86-64"; with the popcount of words at less than the second share,
#: at more than so many channels for each bit, and on narrower maps.
_LEAST_SHARE = 0.75
_LEAST_SHARE_BESIDE_POPCOUNT = 0.78
_CHANNELS_A_BIT = 12
_LEAST_WIDTH = 32


@dataclass(frozen=True, eq=False)
class PackedRows:
    """A layer's numbers for ``convolve_rows``, which says what they are.

    Attributes:
        terms: int64 (filters * 3 * fours,); bits 16 j to 16 j + 15 are the place for kernel column j.
        run: see there.
        runs: see there.
        bounds: int16 (filters * n,).
        flips: int16 (filters / 16,).
        filters: the number of filters.
    """

    terms: Int64
    run: int
    runs: int
    bounds: Int16
    flips: Int16
    filters: int

    @classmethod
    def of(cls, layer: QuantizedLayer) -> PackedRows:
        """Pack a layer that :meth:`fits`."""
        filters, channels, size, _ = layer.convolution.weight_shape
        fours = 2 * -(-channels // 8)
        patterns = sign_bits(layer, filters, fours * CHANNELS).reshape(filters, size, size, fours, CHANNELS) @ (
            1 << np.arange(CHANNELS)
        )
        places = (np.arange(fours) * PATTERNS + patterns) * SLOT
        terms = (places.swapaxes(2, 3) << 16 * np.arange(size)).sum(axis=-1)
        flips = np.packbits(np.pad(layer.flips, (0, -filters % LANES)), bitorder="little").view("<i2")
        bounds = (constants(layer)[:, None] - layer.thresholds).astype(np.int16)
        return cls(terms.reshape(-1), *_runs(fours, layer.input_bits), bounds.reshape(-1), flips, filters)

    @staticmethod
    def fits(layer: QuantizedLayer, convolved: Shape, pooled: Shape) -> bool:
        """Whether the kernel can do this layer, with maps of these shapes before and after the pool."""
        convolution, pool = layer.convolution, layer.pool
        return (
            (convolution.size, convolution.stride, convolution.padding) == (3, 1, 1)
            and pool is not None
            and (pool.size, pool.stride) == (2, 2)
            and pool.padding <= 1
            # No window of the pool reaches over the right or lower edge.
            and (2 * pooled.height <= convolved.height and 2 * pooled.width <= convolved.width)
            and convolution.input.channels <= _MOST_CHANNELS
            and layer.input_bits <= MOST_BITS
        )

    @classmethod
    def pays_off(cls, layer: QuantizedLayer, convolved: Shape, pooled: Shape) -> bool:
        """Whether the kernel can do this layer, and sooner than ``convolve_pool``."""
        if not cls.fits(layer, convolved, pooled):
            return False
        bits, width = layer.input_bits, convolved.width
        share = width / (PIXELS * vectors(width))
        if not COUNTS_WORDS:
            return share * bits > _LEAST_SHARE
        # Popcount takes a time for each plane and each word of 32 channels, this kernel one for each four channels.
        few = layer.convolution.input.channels <= _CHANNELS_A_BIT * bits
        return bits > 1 and few and width >= _LEAST_WIDTH and share > _LEAST_SHARE_BESIDE_POPCOUNT


def vectors(width: int) -> int:
    """Vectors of pixels that a row of this many columns takes."""
    slots, rest = divmod(width, COLUMNS)
    return 2 * slots + (0 if rest == 0 else 1 if rest <= PIXELS else 2)


def _runs(fours: int, bits: int) -> tuple[int, int]:
    # A term is at most n for each channel, and terms come in threes.
    limit = 255 // (3 * CHANNELS * ((1 << bits) - 1))
    if 3 * fours <= limit:
        return fours, 0
    run = max(size for size in range(1, limit + 1) if fours % size == 0)
    return run, fours // run
