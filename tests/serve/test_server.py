"""The server, over real sockets on a free port."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import cv2
import numpy as np
import pytest

from tinier_yolo.cli import main
from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import UsageError
from tinier_yolo.serve import server as serving
from tinier_yolo.serve.server import DetectionServer, is_loopback

PNG = cv2.imencode(".png", np.full((20, 30, 3), 90, np.uint8))[1].tobytes()


class OneBox:
    """A detector that finds the picture, with the threshold for its score."""

    class_names = ("face",)

    def detect(self, rgb: np.ndarray, thresh: float, nms: float) -> Detections:  # noqa: ARG002
        if rgb[0, 0, 0] == 13:
            raise RuntimeError("a mistake of ours")
        return Detections.of([(0, 0, rgb.shape[1], rgb.shape[0])], [thresh])


@pytest.fixture(scope="module")
def server() -> Iterator[DetectionServer]:
    with DetectionServer(("127.0.0.1", 0), OneBox(), "<title>A page</title>") as running:  # type: ignore[arg-type]
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield running
        running.shutdown()


def ask(server: DetectionServer, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers
    connection.close()
    return answer.status, text


def raw(server: DetectionServer, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def still_answers(server: DetectionServer) -> None:
    assert ask(server, "GET", "/") == (200, "<title>A page</title>")


def test_the_page(server: DetectionServer) -> None:
    still_answers(server)
    assert ask(server, "GET", "/index.html?x=1") == (200, "<title>A page</title>")
    assert ask(server, "HEAD", "/") == (200, "")
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_detections_are_those_of_detect_format_json(
    server: DetectionServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinier_yolo.detection.detector import Detector

    monkeypatch.setattr(Detector, "load", lambda *_: OneBox())
    monkeypatch.setattr("sys.stdin", type("Input", (), {"buffer": __import__("io").BytesIO(PNG)}))
    assert main(["detect", "-", "--format", "json", "--no-save", "--thresh", "0.5"]) == 0
    status, text = ask(server, "POST", "/detect?thresh=0.5", PNG)
    assert status == 200
    assert text == capsys.readouterr().out
    assert json.loads(text)[0]["detections"] == [{"box": [0, 0, 30, 20], "score": 0.5, "class": "face"}]
    assert json.loads(ask(server, "POST", "/detect", PNG)[1])[0]["detections"][0]["score"] == 0.25


REFUSED = {
    "no image": ("POST", "/detect", b"This is a letter. " * 9, 400, "not an image that OpenCV reads"),
    "a truncated image": ("POST", "/detect", PNG[:-20], 400, "the request's body: "),
    "nothing": ("POST", "/detect", b"", 400, "an empty body"),
    "no number": ("POST", "/detect?thresh=x", PNG, 400, "thresh is not a number"),
    "not finite": ("POST", "/detect?thresh=nan", PNG, 400, "thresh is not a threshold"),
    "another option": ("POST", "/detect?size=99", PNG, 400, "no such option"),
    "another page": ("GET", "/../../etc/passwd", None, 404, "no such page"),
    "posted elsewhere": ("POST", "/", PNG, 404, "no such page"),
    "not posted": ("GET", "/detect", None, 405, "POST the bytes"),
    "another method": ("DELETE", "/", None, 501, "Unsupported method"),
    "a mistake of ours": (
        "POST",
        "/detect",
        cv2.imencode(".png", np.full((2, 2, 3), 13))[1].tobytes(),
        500,
        "an error",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_one_line_of_json_and_ends_nothing(server: DetectionServer, case: str) -> None:
    method, path, body, status, message = REFUSED[case]
    found, text = ask(server, method, path, body)
    assert found == status
    (error,) = json.loads(text).values()
    assert message in error
    assert "\n" not in error
    still_answers(server)


def test_sizes_are_limited(server: DetectionServer, monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    assert raw(server, head + b"1099511627776\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    answer = raw(server, head + b"99999999\r\nExpect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    monkeypatch.setattr(serving, "MAX_PIXELS", 30 * 20 - 1)
    status, text = ask(server, "POST", "/detect", PNG)
    assert (status, "at most 599 pixels, found 30x20" in text) == (413, True)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"rubbish\r\n\r\n", b" 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b" 400 "),
        (b"GET / HTTP/9.9\r\n\r\n", b" 505 "),
        (b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", b" 431 "),
        (b"POST /detect HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 411 "),
        (b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b" 400 "),
        (b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nshort", b" 400 "),
        (b"POST /detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b" 411 "),
    ],
)
def test_what_is_hardly_http(server: DetectionServer, request_: bytes, status: bytes) -> None:
    answer = raw(server, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1" + status)
    assert set(json.loads(body)) == {"error"}
    still_answers(server)


def test_clients_that_go_away_or_stay_silent_end_nothing(server: DetectionServer) -> None:
    waiting = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(8)]
    for connection in waiting[:4]:
        connection.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n1")
    for connection in waiting[:2]:
        connection.close()
    still_answers(server)
    for connection in waiting[2:]:
        connection.close()
    assert ask(server, "POST", "/detect", PNG)[0] == 200


def test_a_body_that_comes_too_slowly_is_refused(server: DetectionServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(10):
            time.sleep(0.05)
            with suppress(OSError):
                connection.sendall(b"1")
        assert b" 408 " in connection.recv(65536).partition(b"\r\n")[0]
    still_answers(server)


def test_other_sites_and_other_names_are_refused(server: DetectionServer) -> None:
    assert ask(server, "POST", "/detect", PNG, Origin="http://elsewhere.example")[0] == 403
    assert ask(server, "POST", "/detect", PNG, Origin="null")[0] == 403
    assert ask(server, "GET", "/", None, Host="rebound.example")[0] == 403
    own = f"127.0.0.1:{server.server_port}"
    assert ask(server, "POST", "/detect", PNG, Origin=f"http://{own}")[0] == 200
    assert ask(server, "GET", "/", None, Host=f"localhost:{server.server_port}")[0] == 200
    assert ask(server, "GET", "/", None, Host=f"[::1]:{server.server_port}")[0] == 200


def test_many_at_once(server: DetectionServer) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(ask(server, "POST", "/detect", PNG)[0])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20


def test_an_address_that_cannot_be_listened_on(server: DetectionServer) -> None:
    with pytest.raises(UsageError, match=rf"127.0.0.1:{server.server_port}: cannot listen"):
        DetectionServer(("127.0.0.1", server.server_port), OneBox(), "")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot listen"):
        DetectionServer(("no.such.host.invalid", 0), OneBox(), "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("0.0.0.0", False), ("10.1.2.3", False), ("", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
