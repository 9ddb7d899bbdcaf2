"""The size of a TIFF: the first directory's tags (TIFF 6.0, section 2; BigTIFF has wider counts and offsets)."""

from __future__ import annotations

import struct

_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
#: Type of a tag's value -> its code in ``struct``.
_TYPES = {3: "H", 4: "I", 16: "Q"}


def tiff_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels, or those of a tile where tiles are larger; None where the directory has none.

    Raises:
        struct.error: the file ends before.
    """
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", data, 2)[0] == 42:
        start, head, entry, offset = struct.unpack_from(f"{order}I", data, 4)[0], "H", "HHI", 8
    else:
        start, head, entry, offset = struct.unpack_from(f"{order}Q", data, 8)[0], "Q", "HHQ", 12
    count = struct.unpack_from(order + head, data, start)[0]
    length = 12 if offset == 8 else 20
    tags: dict[int, int] = {}
    for number in range(min(count, 4096)):
        place = start + struct.calcsize(order + head) + number * length
        tag, kind, _ = struct.unpack_from(order + entry, data, place)
        if kind in _TYPES:
            tags[tag] = struct.unpack_from(order + _TYPES[kind], data, place + offset)[0]
    if _WIDTH not in tags or _HEIGHT not in tags:
        return None
    return max(tags[_WIDTH], tags.get(_TILE_WIDTH, 0)), max(tags[_HEIGHT], tags.get(_TILE_HEIGHT, 0))
