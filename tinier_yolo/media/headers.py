"""A look at the bytes of an image file before they are decoded: is it whole, how large is it.

Decoders are lenient in different ways: some fill what is missing with grey, some write to stderr, all allocate whatever
the header asks for. The two common formats, JPEG and PNG, are therefore walked through here, segment by segment.
"""

from __future__ import annotations

import re
import struct
import zlib

from tinier_yolo.errors import MediaError, PathLike

_JPEG, _PNG, _BMP, _GIF = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF8"
#: The next marker: neither a stuffed zero nor a restart, both of which belong to the entropy-coded data.
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_TEM, _SOI, _EOI, _SOS = 0x01, 0xD8, 0xD9, 0xDA
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_size(data: bytes, path: PathLike) -> tuple[int, int] | None:
    """The (width, height) that the header states, and a check that JPEG and PNG files are whole.

    Bytes after the end of the image are accepted, as phones and cameras append previews and videos there.

    Args:
        data: the whole file.
        path: the name that an error gives.

    Returns:
        None for other formats than JPEG, PNG, BMP and GIF, which are left to the decoder.

    Raises:
        MediaError: the file is truncated, or a PNG's checksum does not fit.
    """
    if data.startswith(_JPEG):
        return _jpeg_size(data, path)
    if data.startswith(_PNG):
        return _png_size(data, path)
    if data.startswith(_GIF) and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return width, height
    if data.startswith(_BMP) and len(data) >= 26 and struct.unpack_from("<I", data, 14)[0] >= 40:
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(width), abs(height)
    return None


def _jpeg_size(data: bytes, path: PathLike) -> tuple[int, int] | None:
    # ITU T.81, annex B. A segment is a marker and, but for SOI, EOI and TEM, a length that counts itself. SOS is
    # followed by entropy-coded data up to the next marker; the search skips over it.
    size, scans, position = None, 0, 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _EOI and scans:
            return size
        if marker in (_TEM, _SOI, _EOI):
            continue
        if position + 7 > len(data):
            break
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = width, height
        scans += marker == _SOS
        position += struct.unpack_from(">H", data, position)[0]
    raise MediaError("a truncated JPEG", path=path, expected="an end-of-image marker", found=_end(data))


def _png_size(data: bytes, path: PathLike) -> tuple[int, int]:
    # A chunk is length, type, data and the CRC-32 of type and data; a capital first letter marks those that count.
    position, size = len(_PNG), (0, 0)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        body = data[position + 4 : end - 4]
        if kind[:1].isupper() and zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            place = f"byte {position}, chunk {kind.decode('latin-1')}"
            raise MediaError("a damaged PNG: a checksum does not fit", path=path, place=place)
        if kind == b"IHDR" and length >= 8:
            size = struct.unpack_from(">II", body, 4)
        if kind == b"IEND":
            return size
        position = end
    raise MediaError("a truncated PNG", path=path, expected="an IEND chunk", found=_end(data))


def _end(data: bytes) -> str:
    return f"the end of the file after {len(data)} bytes"
