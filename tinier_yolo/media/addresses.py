"""Addresses of the network: which are read, how they are shown, and images behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinier_yolo.errors import MediaError

if TYPE_CHECKING:
    from urllib.request import Request

SCHEMES = ("rtsp", "rtsps", "http", "https")
#: Seconds to wait for an answer.
TIMEOUT = 10.0
_ADDRESS = re.compile(rf"(?:{'|'.join(SCHEMES)})://", re.IGNORECASE)
# Up to the last @, since careless passwords hold / and @; an @ in a path then hides more than it must.
_PASSWORD = re.compile(r"(://[^/@:?#]*):[^?#]*@")
_SECRET = re.compile(r"([?&][^=&#]*(?:token|key|password|passwd|secret|signature|auth)[^=&#]*=)[^&#]*", re.IGNORECASE)


def is_address(source: str) -> bool:
    """Whether that is an address that is read rather than a path."""
    return _ADDRESS.match(source) is not None


def shown(source: str) -> str:
    """The address as it is told to others: without passwords and tokens. Other names stay as they are."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", source)) if is_address(source) else source


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
        with urllib.request.urlopen(_request(address), timeout=TIMEOUT) as answer:
            data: bytes = answer.read(most + 1)
            return data
    except (urllib.error.URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MediaError("cannot load the image", path=shown(address), found=reason) from error


def _request(address: str) -> Request:
    """The request for an address; a user and a password in it go into a header, where urllib does not put them."""
    from base64 import b64encode
    from urllib.parse import unquote, urlsplit, urlunsplit
    from urllib.request import Request

    parts = urlsplit(address)
    credentials, at, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit(parts._replace(netloc=host)))
    if at:
        # Not copied to where the server may redirect.
        request.add_unredirected_header("Authorization", "Basic " + b64encode(unquote(credentials).encode()).decode())
    return request
