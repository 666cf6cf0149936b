"""Images by their address, from a real server: what is fetched, and what is refused in one sentence."""

import http.server
import io
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

from nulltext import fetching, open_image
from nulltext.errors import ImageDecodeError, ImageError, ImageNotFoundError, ImageTooLargeError
from nulltext.fetching import fetch, is_address, name_in


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 10)).save(buffer, "PNG")
    return buffer.getvalue()


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        leads = {"/loop": "/loop", "/file": "file:///etc/hostname", "/ftp": "ftp://127.0.0.1/x", "/moved": "/cat.png"}
        if self.path in leads:
            self.send_response(302)
            self.send_header("Location", leads[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = {"/cat.png": png(), "/page": b"<html>", "/long": b"x" * 5000, "/drip": b"x" * 5000}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()  # no length is said: a server need not
        for start in range(0, len(body), 1000):
            self.wfile.write(body[start : start + 1000])
            time.sleep(0.05 if self.path == "/drip" else 0)

    def handle(self) -> None:
        with suppress(ConnectionError):  # who reads no further hangs up
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_an_image_is_what_its_file_would_be(server, model):
    of_bytes = open_image(png(), model)
    for path in ("/cat.png", "/moved"):
        assert open_image(f"{server}{path}", model).sha256 == of_bytes.sha256
    assert open_image(server.replace("http", "HTTP") + "/cat.png", model).sha256 == of_bytes.sha256


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/none.png", ImageNotFoundError, "answered 404 'Not Found'"),
        ("/page", ImageDecodeError, "a page of the web"),
        ("/loop", ImageNotFoundError, "infinite loop"),
        ("/file", ImageNotFoundError, "not allowed"),
        ("/ftp", ImageNotFoundError, "neither http nor https"),
        ("/long", ImageTooLargeError, "more than 0 MB"),
        ("/drip", ImageNotFoundError, "it took more than 0.1 s"),
    ],
)
def test_what_is_no_image_is_said_in_a_sentence(server, model, monkeypatch, path, error, says):
    monkeypatch.setattr(fetching, "MOST_BYTES", 2000 if path == "/long" else fetching.MOST_BYTES)
    monkeypatch.setattr(fetching, "_PART", 1000)
    monkeypatch.setattr(fetching, "DEADLINE_S", 0.1 if path == "/drip" else fetching.DEADLINE_S)
    with pytest.raises(error, match=says) as caught:
        open_image(f"{server}{path}", model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["http://", "https://", "http://[", "http://127.0.0.1:1/x.png", "http://127.0.0.1:99999999/x", "http://no host/x",
     "http://a\r\nX: y/", "http://nowhere.invalid/cat.png", "http://\u00e4\u0000.invalid/"],
)  # fmt: skip
def test_addresses_that_lead_nowhere(address):
    with pytest.raises(ImageError) as caught:
        fetch(address)
    assert "\n" not in str(caught.value)


def test_what_is_an_address():
    assert all(map(is_address, ("http://a/b.png", "HTTPS://a")))
    assert not any(
        map(is_address, ("cat.png", "http.png", "file:///etc/passwd", "ftp://a/b", b"http://a", "/http://a"))
    )
    assert [name_in(f"https://a.example{path}") for path in ("/x/my%20cat.jpg?size=3", "/", "")] == [
        "my cat.jpg", "image", "image"
    ]  # fmt: skip
