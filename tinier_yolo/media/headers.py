"""A look at the bytes of an image file before they are decoded: which format, how large, is it whole.

Decoders are lenient in different ways: some fill what is missing with grey, some write to stderr, all allocate whatever
the header asks for. The size is therefore read here, for every format that OpenCV reads, and JPEG and PNG are walked
through, segment by segment.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from tinier_yolo.errors import MediaError, PathLike
from tinier_yolo.media.header_boxes import avif_size, jpeg2000_size
from tinier_yolo.media.header_tiff import tiff_size

#: The next marker: neither a stuffed zero nor a restart, both of which belong to the entropy-coded data.
#: Not \xff+: a pattern that begins with a byte as it is finds it several times as fast.
_JPEG_MARKER = re.compile(rb"\xff\xff*([^\x00\xff\xd0-\xd7])")
_TEM, _SOI, _EOI, _SOS = 0x01, 0xD8, 0xD9, 0xDA
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Each scan of a progressive JPEG goes over the whole picture; encoders write about ten.
_MOST_SCANS = 200
_PNG = b"\x89PNG\r\n\x1a\n"

Size = tuple[int, int]


class Header(NamedTuple):
    """What the beginning of an image file says.

    Attributes:
        format: its name.
        size: (width, height) in pixels.
        pixel_bytes: memory that a decoder takes for a pixel.
        whole: False for a JPEG without its end-of-image marker; others are whole or an error.
    """

    format: str
    size: Size
    pixel_bytes: int = 3
    whole: bool = True


def read_header(data: bytes, path: PathLike) -> Header | None:
    """Read the header, and check that JPEG and PNG files are whole.

    Bytes after the end of the image are accepted, as phones and cameras append previews and videos there.

    Args:
        data: the whole file.
        path: the name that an error gives.

    Returns:
        None where the bytes begin as those of no format that OpenCV reads.

    Raises:
        MediaError: the file is truncated, a PNG's checksum does not fit, no size is found, or it is HEIC.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data, path)
    if data.startswith(_PNG):
        return Header("PNG", _png_size(data, path))
    for pattern, name, pixel_bytes, size_of in _FORMATS:
        if pattern.match(data):
            try:
                size = size_of(data)
            except (struct.error, IndexError):
                size = None
            if size is None or min(size) < 1:
                raise MediaError(f"a damaged {name} file: its header gives no size", path=path)
            return Header(name, size, pixel_bytes)
    if re.match(rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", data, re.DOTALL):
        raise MediaError("a HEIC picture, which OpenCV does not read", path=path, expected="a JPEG made of it")
    return None


def _jpeg(data: bytes, path: PathLike) -> Header:
    # ITU T.81, annex B. A segment is a marker and, but for SOI, EOI and TEM, a length that counts itself. SOS is
    # followed by entropy-coded data up to the next marker; the search skips over it.
    size, scans, position = (0, 0), 0, 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _EOI and scans:
            return Header("JPEG", size)
        if marker in (_TEM, _SOI, _EOI):
            continue
        if position + 7 > len(data):
            break
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = width, height
        scans += marker == _SOS
        if scans > _MOST_SCANS:
            raise MediaError("a JPEG of too many scans", path=path, expected=f"at most {_MOST_SCANS}")
        position += struct.unpack_from(">H", data, position)[0]
    if scans and all(size) and position <= len(data):
        return Header("JPEG", size, whole=False)
    raise MediaError("a truncated JPEG", path=path, expected="an end-of-image marker", found=_end(data))


def _png_size(data: bytes, path: PathLike) -> Size:
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


def _gif_size(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp_size(data: bytes) -> Size:
    # The oldest header has 12 bytes and short sides; a negative height means rows from the top.
    old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    return abs(width), abs(height)


def _webp_size(data: bytes) -> Size | None:
    if data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if data[12:16] == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if data[12:16] == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _pnm_size(data: bytes) -> Size | None:
    # Numbers among white space and comments; PAM (P7) names them.
    head = re.sub(rb"#[^\n]*", b"", data[:4096])
    if head.startswith(b"P7"):
        sides = [re.search(rb"%s\s+(\d{1,9})\s" % name, head) for name in (b"WIDTH", b"HEIGHT")]
        return (int(sides[0][1]), int(sides[1][1])) if sides[0] and sides[1] else None
    match = re.match(rb"P[1-6fF]\s+(\d{1,9})\s+(\d{1,9})\s", head)
    return (int(match[1]), int(match[2])) if match else None


def _sun_size(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 4)
    return width, height


def _radiance_size(data: bytes) -> Size | None:
    sizes = [(int(w), int(h)) for h, w in re.findall(rb"-Y (\d{1,9}) \+X (\d{1,9})", data[:65536])]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _exr_size(data: bytes) -> Size | None:
    match = re.search(rb"dataWindow\0box2i\0\x10\0\0\0(.{16})", data[:65536], re.DOTALL)
    if match is None:
        return None
    left, top, right, bottom = struct.unpack("<iiii", match[1])
    return right - left + 1, bottom - top + 1


def _format(pattern: bytes, name: str, pixel_bytes: int, size_of: Callable[[bytes], Size | None]) -> _Format:
    return re.compile(pattern, re.DOTALL), name, pixel_bytes, size_of


_Format = tuple[re.Pattern[bytes], str, int, Callable[[bytes], Size | None]]
#: How a file begins, its format, bytes a pixel while it is decoded, and where its size stands.
_FORMATS: tuple[_Format, ...] = (
    _format(rb"GIF8", "GIF", 4, _gif_size),
    _format(rb"BM", "BMP", 3, _bmp_size),
    _format(rb"RIFF....WEBP", "WebP", 4, _webp_size),
    _format(rb"II[*+]\0|MM\0[*+]", "TIFF", 4, tiff_size),
    _format(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000", 12, jpeg2000_size),
    _format(rb"....ftypavi[fs]", "AVIF", 4, avif_size),
    _format(rb"P[1-7]\s", "PNM", 3, _pnm_size),
    _format(rb"P[fF]\s", "PFM", 12, _pnm_size),
    _format(rb"\x59\xa6\x6a\x95", "Sun raster", 3, _sun_size),
    _format(rb"#\?R", "Radiance HDR", 12, _radiance_size),
    _format(rb"\x76\x2f\x31\x01", "OpenEXR", 12, _exr_size),
)
