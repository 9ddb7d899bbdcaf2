"""What a file is, by its first bytes: names lie, or say nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from tinier_yolo.errors import PathLike

#: As many bytes as the longest of the patterns needs: three packets of an MPEG transport stream.
_HEAD = 3 * 192
_IMAGES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM.{12}[\x0c\x28-\x80]\0\0\0|RIFF....WEBP|II[*+]\0|MM\0[*+]"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|P[1-7fF]\s|#\?R|\x76\x2f\x31\x01|\x59\xa6\x6a\x95"
    rb"|....ftyp(?:avif|avis|heic|heix|hevc|heim|heis|mif1|msf1)",
    re.DOTALL,
)
_VIDEOS = re.compile(
    rb".{4}(?:ftyp|moov|mdat|wide|free|skip|pnot)|\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|OggS|\x30\x26\xb2\x75\x8e\x66"
    rb"|\0\0\x01[\xba\xb3\xb0]|\0\0(?:\0)?\x01[\x09\x67\x27\x47\x40\x46]|YUV4MPEG2 |DKIF|\x1f\x07\0[\x3f\xbf]"
    rb"|\x06\x0e\x2b\x34|\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47.{191}\x47",
    re.DOTALL,
)


def kind_of(path: PathLike) -> Literal["image", "video"] | None:
    """Whether a file is an image or a video; None where its bytes do not tell, or it cannot be read."""
    try:
        if not Path(path).is_file():
            return None
        with Path(path).open("rb") as file:
            return kind_of_bytes(file.read(_HEAD))
    except (OSError, ValueError):
        return None


def kind_of_bytes(data: bytes) -> Literal["image", "video"] | None:
    """The same of a file's bytes, of which the first few count."""
    head = data[:_HEAD]
    if _IMAGES.match(head):
        return "image"
    return "video" if _VIDEOS.match(head) else None
