"""The sizes of formats made of boxes: JPEG 2000 (ISO 15444-1, annex I) and AVIF (ISO 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_CODESTREAM = b"\xff\x4f\xff\x51"
#: Tiles and components have structures of their own in the decoder, however small they are.
_MOST_TILES, _MOST_COMPONENTS = 65_535, 4
#: Boxes within a box that are looked at.
_MOST_BOXES = 4096


def jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the codestream, bare or in a JP2 file, and not what the file says of it.

    Raises:
        struct.error: the file ends before.
    """
    start = 0
    if not data.startswith(_CODESTREAM):
        start = next((first for kind, first, _ in _boxes(data, 0, len(data)) if kind == b"jp2c"), -1)
        if start < 0 or data[start : start + 4] != _CODESTREAM:
            return None
    # After length and capabilities: the image's right, bottom, left and top on the grid, the tiles', and components.
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components = struct.unpack_from(
        ">IIIIIIIIH", data, start + 8
    )
    if not (tile_width and tile_height and 1 <= components <= _MOST_COMPONENTS):
        return None
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    return (right - left, bottom - top) if 1 <= tiles <= _MOST_TILES else None


def avif_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the largest of the images that the file describes.

    Raises:
        struct.error: the file ends before.
    """
    sizes = []
    for kind, start, end in _boxes(data, 0, len(data)):
        # 'meta' and 'ispe' begin with a version and flags.
        spans = [(start + 4, end)] if kind == b"meta" else []
        for wanted in (b"iprp", b"ipco"):
            spans = [span[1:] for first, last in spans for span in _boxes(data, first, last) if span[0] == wanted]
        for first, last in spans:
            sizes += [
                struct.unpack_from(">II", data, place + 4)
                for inner, place, _ in _boxes(data, first, last)
                if inner == b"ispe"
            ]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first and last byte of the content of each box; a size of 0 means up to the end, of 1 a longer size."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        last = end if size == 0 else min(end, start + size)
        if last < start + head:
            return
        yield kind, start + head, last
        start = last
