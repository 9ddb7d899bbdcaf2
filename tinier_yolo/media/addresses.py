"""Addresses of the network: which are read, how they are shown, and images behind them."""

from __future__ import annotations

import re

from tinier_yolo.errors import MediaError

SCHEMES = ("rtsp", "rtsps", "http", "https")
#: Seconds to wait for an answer.
TIMEOUT = 10.0
_ADDRESS = re.compile(rf"(?:{'|'.join(SCHEMES)})://", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")


def is_address(source: str) -> bool:
    """Whether that is an address that is read rather than a path."""
    return _ADDRESS.match(source) is not None


def shown(source: str) -> str:
    """The address as it is told to others: without its password. Other names stay as they are."""
    return _PASSWORD.sub(r"\1:***@", source) if is_address(source) else source


def download(address: str, most: int) -> bytes:
    """The bytes behind an ``http`` or ``https`` address, at most that many and one more.

    Raises:
        MediaError: no answer, or one that says no.
    """
    if not address.lower().startswith("http"):
        raise MediaError("images come from files or the web", path=shown(address), expected="http:// or https://")
    # Slow to import, with TLS behind them, and most runs read files alone.
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            data: bytes = answer.read(most + 1)
            return data
    except (urllib.error.URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MediaError("cannot load the image", path=shown(address), found=reason) from error
