from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tinier_yolo.media.addresses import download, shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://user:secret@host/x", "rtsp://user:***@host/x"),
        ("rtsp://u:p/w@h/x", "rtsp://u:***@h/x"),
        ("rtsp://u:p@ss@h/x", "rtsp://u:***@h/x"),
        ("https://h/x.jpg?token=abc&size=2", "https://h/x.jpg?token=***&size=2"),
        ("https://h/x.jpg?a=1&Access_Key=abc#x", "https://h/x.jpg?a=1&Access_Key=***#x"),
        ("http://host:80/x.jpg", "http://host:80/x.jpg"),
        ("folder/a:b@c.jpg", "folder/a:b@c.jpg"),
    ],
)
def test_secrets_are_not_shown(address: str, expected: str) -> None:
    assert shown(address) == expected


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    asked: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"an image")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{web.server_port}", asked
        web.shutdown()


def test_a_user_and_a_password_reach_the_server(server: tuple[str, list[str | None]]) -> None:
    host, asked = server
    assert download(f"http://ann:p%40ss@{host}/x.jpg", 100) == b"an image"
    assert download(f"http://{host}/x.jpg", 100) == b"an image"
    assert asked == ["Basic YW5uOnBAc3M=", None]
