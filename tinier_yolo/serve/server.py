"""An HTTP server: the page of a detector, and ``POST /detect``; the standard library's, made fit for bad requests.

    GET /                      the page; what it detects, it detects in the browser
    POST /detect?thresh=&nms=  the bytes of an image -> JSON as ``tinier-yolo detect - --format json`` prints it

Whatever comes, the answer is JSON with an ``error``, and the server goes on. No header allows other sites to read
anything (CORS); a request from one, or to a loopback server under a foreign name (DNS rebinding), is refused.
"""

from __future__ import annotations

import io
import ipaddress
import json
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tinier_yolo import __version__
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.detector import Detector, check_thresholds
from tinier_yolo.detection.formats.json_document import JsonDocumentWriter
from tinier_yolo.detection.formats.result import Result, Target
from tinier_yolo.errors import TinierYoloError, UsageError
from tinier_yolo.media.headers import read_header
from tinier_yolo.media.images import STANDARD_INPUT, decode_image

#: Of one image: bytes of the file, and pixels, which are 120 MB once decoded.
MAX_BYTES, MAX_PIXELS = 32 << 20, 40_000_000
#: Images at work at once, how long others wait for them, and connections at once.
MAX_IMAGES, MAX_WAIT, MAX_CONNECTIONS = 4, 10.0, 64
#: Seconds that the body of a request may take.
MAX_BODY_SECONDS = 60.0
#: Seconds that a connection may be silent.
SILENCE = 20.0
#: Bytes of a refused body that are read all the same: a client that still writes would not see the answer.
_DRAINED = 4 << 20
#: The name that errors give to what was sent.
_BODY = "the request's body"


class RefusedError(Exception):
    """A request that gets an error for its answer."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class DetectionServer(ThreadingHTTPServer):
    """Serves one detector; see the module.

    Args:
        address: host and port; port 0 takes a free one, ``server_port`` tells which.
        detector: the detector.
        page: the page of ``GET /``.
        thresh: the least score where a request says nothing.
        nms: the same of ``nms``.

    Raises:
        UsageError: the address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self, address: tuple[str, int], detector: Detector, page: str, thresh: float = THRESH, nms: float = NMS
    ) -> None:
        self.page, self.thresholds = page.encode(), {"thresh": thresh, "nms": nms}
        self.images = threading.BoundedSemaphore(MAX_IMAGES)
        self._detector, self._lock = detector, threading.Lock()
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.host = address[0]
        try:
            super().__init__(address, Handler)
        except (OSError, OverflowError) as error:
            place = f"{address[0]}:{address[1]}"
            raise UsageError("cannot listen", place=place, found=getattr(error, "strerror", None) or error) from error

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def detect(self, data: bytes, thresholds: dict[str, float]) -> str:
        """JSON of what is in an image file.

        Raises:
            TinierYoloError: not an image, or bad thresholds.
            RefusedError: too many pixels.
        """
        check_thresholds(**thresholds)
        header = read_header(data, _BODY)
        if header is not None and header.size[0] * header.size[1] > MAX_PIXELS:
            found_size = f"found {header.size[0]}x{header.size[1]}"
            message = f"the image is too large (expected at most {MAX_PIXELS} pixels, {found_size})"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        rgb = decode_image(data, _BODY)
        with self._lock:  # a detector serves one thread at a time
            found: Detections = self._detector.detect(rgb, **thresholds)
        stream = io.StringIO()
        writer = JsonDocumentWriter(Target(stream, Path(), self._detector.class_names))
        writer.write(Result(STANDARD_INPUT, STANDARD_INPUT, rgb.shape[1], rgb.shape[0], found))
        writer.close()
        return stream.getvalue()

    def is_foreign(self, host: str | None, origin: str | None) -> bool:
        """Whether a request comes from another site's page, or calls a loopback server by another's name."""
        name = urlsplit(f"//{host or ''}").hostname or ""
        if origin is not None and urlsplit(origin).netloc != host:
            return True
        return is_loopback(self.host) and not is_loopback(name)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, unless there are too many."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Tell of an error that has ended a connection; that a client has gone is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: DetectionServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"tinier-yolo/{__version__}", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        """Answer with the page."""
        self._answer_or_refuse(self._get)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Answer with detections."""
        self._answer_or_refuse(self._post)

    def handle_expect_100(self) -> bool:
        """Ask for the body only where it will be read."""
        try:
            self._length()
        except RefusedError as refusal:
            self.send_error(refusal.status, refusal.message)
            return False
        return super().handle_expect_100()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer with an error; the library calls it too, for requests that it cannot read."""
        text = message or HTTPStatus(code).phrase
        self.close_connection = True
        # To a line that is no request the library would answer as in 1991, without a status.
        self.request_version = self.protocol_version
        self._answer(code, "application/json", json.dumps({"error": text}).encode() + b"\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing of single requests."""

    def _answer_or_refuse(self, answer: Any) -> None:
        try:
            if self.server.is_foreign(self.headers.get("Host"), self.headers.get("Origin")):
                raise RefusedError(HTTPStatus.FORBIDDEN, "a request for another host or from another site's page")
            answer()
        except RefusedError as refusal:
            self.send_error(refusal.status, refusal.message)
            self._drain()
        except (TinierYoloError, ValueError) as error:
            self.send_error(HTTPStatus.BAD_REQUEST, str(error))
        except OSError:
            raise  # the client has gone
        except Exception:
            traceback.print_exc()
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the server's")

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path not in ("/", "/index.html"):
            allowed = path == "/detect"
            status = HTTPStatus.METHOD_NOT_ALLOWED if allowed else HTTPStatus.NOT_FOUND
            raise RefusedError(
                status, "POST the bytes of an image" if allowed else "no such page (expected / or /detect)"
            )
        self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)

    def _post(self) -> None:
        address = urlsplit(self.path)
        if address.path != "/detect":
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page (expected /detect)")
        length = self._length()
        if not self.server.images.acquire(timeout=MAX_WAIT):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many images at once; ask again later")
        try:
            data = self._body(length)
            if len(data) < length:
                raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body ends early, after {len(data)} of {length} bytes")
            text = self.server.detect(data, self._thresholds(address.query))
        finally:
            self.server.images.release()
        self._answer(HTTPStatus.OK, "application/json", text.encode())

    def _body(self, length: int) -> bytes:
        # A limit for the whole: that of the socket begins anew with each byte, and others wait for this one's place.
        end, parts, left = time.monotonic() + MAX_BODY_SECONDS, [], length
        while left and (part := self.rfile.read1(min(left, 1 << 16))):
            parts.append(part)
            left -= len(part)
            if time.monotonic() > end:
                raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly")
        return b"".join(parts)

    def _thresholds(self, query: str) -> dict[str, float]:
        values = dict(self.server.thresholds)
        for key, text in parse_qsl(query, keep_blank_values=True):
            if key not in values:
                raise UsageError("no such option", place=key, expected=" or ".join(values))
            try:
                values[key] = float(text)
            except ValueError:
                raise UsageError(f"{key} is not a number", found=text) from None
        return values

    def _length(self) -> int:
        text = self.headers.get("Content-Length")
        if text is None or self.headers.get("Transfer-Encoding") is not None:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the body's length is missing (expected Content-Length)")
        if not (text.isascii() and text.isdecimal()) or len(text) > 20:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a bad Content-Length")
        if int(text) > MAX_BYTES:
            message = f"the image file is too large (expected at most {MAX_BYTES} bytes, found {int(text)})"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        if int(text) == 0:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "an empty body, not an image")
        return int(text)

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _drain(self) -> None:
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1.0)
            left = _DRAINED
            while left > 0 and (part := self.connection.recv(min(left, 1 << 16))):
                left -= len(part)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, which no other one reaches."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
