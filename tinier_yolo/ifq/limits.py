"""What a program may ask of the kernels: every count, product and offset that they form fits its type.

A checksum says that a file is whole, not that its numbers are sane: a few hundred bytes can ask for an offset beyond
int32, which a kernel would read from, or for more memory than there is. So all of it is worked out here, from the
shapes alone, when a program is loaded and before maps are made for a size: nothing is allocated for what is refused.
The numbers are Python's integers, which do not wrap around.

The bounds are those of any family of kernels: what each may keep, not what one of them keeps today.

=========================  ==================================================================  ==============
what a kernel forms        bound                                                               limit
=========================  ==================================================================  ==============
an accumulator, S          (2^k - 1) * weights of a filter                                     MAX_ACCUMULATOR
a bound: n * B - T         twice that and 1                                                    int32
the output: m * a + b      checked with the numbers of each filter when a program is loaded    int32
an offset in a plane       rows * columns * bytes of a cell, the border and 72 bytes included  MAX_OFFSET
an offset in the tables    rows of tables * columns * bytes of a cell's tables                 MAX_TABLES
signs, one a byte          filters and channels rounded up to whole vectors                    MAX_SIGNS
maps and lists of offsets  :func:`kept_bytes` of all layers, :func:`passing_bytes` of one          MAX_MEMORY
=========================  ==================================================================  ==============
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinier_yolo.darknet.layers import Convolutional, MaxPool, Shape

#: Accumulators beyond this would make the exhaustive proof long and leave int32 behind in the kernels.
MAX_ACCUMULATOR = 1 << 24
#: Offsets in a plane of a map are int32.
MAX_OFFSET = (1 << 31) - 1
#: Bytes of the tables that a thread keeps; their offsets are int32 as well.
MAX_TABLES = 1 << 27
#: Weights of all layers; while a layer is packed, each of its own takes some bytes. YOLOv2 has 50 million.
MAX_SIGNS = 1 << 27
#: Bytes of maps and lists of offsets for one size of image.
MAX_MEMORY = 4 << 30
#: Fraction bits of the output, an int32.
MAX_FRACTION_BITS = 30

#: What signs are packed into: groups of so many filters, whole words of so many channels in every family.
_FILTERS, _CHANNELS = 64, 24
#: Bytes behind a plane: of a word that is read from its last byte on, and of a cache line that is begun.
_BEHIND = 8 + 64
#: Cells behind a map that a kernel may read.
_CELLS_BEHIND = 64
#: Bytes of the tables of a cell, for each channel and for the last one's share.
_TABLE, _TABLES_END = 16, 64
#: Windows that share the rows of tables that are kept.
_BLOCK = 8
#: Bytes that are kept to list a window, a row of its kernel where it is looked up, or a cell: an int32; and those that
#: making such lists takes for a while: int64 and copies.
_KEPT, _LISTED, _LISTED_ROW = 4, 24, 40
#: Bytes of a bound that is kept, and those of making it; and of a value of the output, which is copied.
_BOUND, _BOUND_MADE, _OUTPUT = 4, 32, 8


@dataclass(frozen=True)
class Work:
    """What a layer does with a map of one shape.

    Attributes:
        convolution: its convolution.
        pool: its max pool, or None.
        read: the shape of the map that it reads.
        bits: the bits of a level of that map.
        made_bits: the bits of a level of the map that it makes; 0 for the output, whose values are int32.
    """

    convolution: Convolutional
    pool: MaxPool | None
    read: Shape
    bits: int
    made_bits: int

    @property
    def convolved(self) -> Shape:
        """The shape of its accumulators."""
        return self.convolution.output_for(self.read)

    @property
    def made(self) -> Shape:
        """The shape of the map that it makes."""
        return self.convolved if self.pool is None else self.pool.output_for(self.convolved)


def check(works: Sequence[Work]) -> None:
    """Check what the layers of a program do with an image of one size.

    Raises:
        CfgError: one of the limits above is exceeded; names the layer's line.
    """
    signs = kept = passing = 0
    for work in works:
        section, read = work.convolution.section, work.read
        if not all(side >= 1 for side in (*work.convolved, *work.made)):
            raise section.error("the map has become too small", found=f"{read} -> {work.made}")
        plane = max(_plane(read, work.convolution.padding), _plane(work.convolved, 0))
        if plane > MAX_OFFSET:
            raise section.error("a map too large for a program", expected=f"at most {MAX_OFFSET} bytes", found=plane)
        tables = _tables(work)
        if tables > MAX_TABLES:
            raise section.error("tables too large for a program", expected=f"at most {MAX_TABLES} bytes", found=tables)
        signs += _signs(work.convolution)
        if signs > MAX_SIGNS:
            raise section.error("too many weights for a program", expected=f"at most {MAX_SIGNS}", found=signs)
        kept, passing = kept + kept_bytes(work), max(passing, passing_bytes(work))
        if kept + passing > MAX_MEMORY:
            problem, found = f"too much memory for images of {works[0].read}", f"{kept + passing >> 20} MiB"
            raise section.error(problem, expected=f"at most {MAX_MEMORY >> 20} MiB", found=found)


def kept_bytes(work: Work) -> int:
    """The most bytes that a layer keeps for one size of image.

    They are the map that it reads with its border, the accumulators' levels where a pool follows, the lists of windows
    and of cells, a thread's tables, and the output.
    """
    size = _map(work.read, work.bits, work.convolution.padding) + _KEPT * sum(_lists(work)) + _tables(work)
    size += _BOUND * _bounds(work)
    if _is_looked_up(work):
        size += _KEPT * work.convolution.size * _cells(work.convolved)
    if work.pool is not None:
        size += _map(work.convolved, work.made_bits, 0)
    if not work.made_bits:
        size += (_cells(work.made) + 3) * (-(-work.made.channels // 16) * 16) * _OUTPUT
    return size


def passing_bytes(work: Work) -> int:
    """The most bytes beside them that a layer takes for a while, as its lists are made, one after the other."""
    size = _LISTED * max(_lists(work)) + _BOUND_MADE * _bounds(work)
    return size + (_LISTED_ROW * work.convolution.size * _cells(work.convolved) if _is_looked_up(work) else 0)


def _lists(work: Work) -> tuple[int, ...]:
    # The lengths of the lists: windows, those that a pool picks for each cell, cells, and an image's pixels.
    picked = 0 if work.pool is None else work.pool.size**2
    pixels = _cells(work.read) if work.bits == 8 else 0
    return _cells(work.convolved), picked * _cells(work.made), _cells(work.made), pixels


def _bounds(work: Work) -> int:
    return -(-work.convolution.filters // _FILTERS) * _FILTERS * (1 << work.made_bits)


def _cells(shape: Shape) -> int:
    return shape.height * shape.width


def _is_looked_up(work: Work) -> bool:
    return work.convolution.filters > _FILTERS  # of fewer most lanes of a lookup would be idle


def _plane(shape: Shape, border: int) -> int:
    # The bytes of one plane of a map.
    channel_bytes = -(-shape.channels // 8)
    return (shape.height + 2 * border) * (shape.width + 2 * border) * channel_bytes + _BEHIND


def _map(shape: Shape, bits: int, border: int) -> int:
    return bits * _plane(shape, border) + _CELLS_BEHIND * (-(-shape.channels // 8) + 1)


def _tables(work: Work) -> int:
    # Eight windows in a row lie on so many rows of windows; those of two pooled cells on up to four.
    convolution, width = work.convolution, work.convolved.width
    rows = max(3, 1 + (_BLOCK - 2) // width) * convolution.stride + convolution.size
    cells = work.read.width + 2 * convolution.padding
    rows = min(rows, work.read.height + 2 * convolution.padding)
    return rows * cells * (_TABLE * work.read.channels + _TABLES_END)


def _signs(convolution: Convolutional) -> int:
    filters, channels, size, _ = convolution.weight_shape
    return -(-filters // _FILTERS) * _FILTERS * -(-channels // _CHANNELS) * _CHANNELS * size**2
