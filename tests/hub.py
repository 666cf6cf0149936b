"""A hub on this machine: the few endpoints by which a model's files are listed and fetched."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMMIT = "c" * 40
PART = 4096


@dataclass
class Hub:
    """What it has, and what was asked of it.

    Attributes:
        name: Its only model.
        files: Of that, by path.
        pipeline: What its index says that it is.
        url: Where it is.
        asked: The methods and paths, in order.
        gone: Files that are listed, and are not there.
        gate: Held back until it is set: all but the first part of files of more than `PART` bytes.
    """

    name: str
    files: dict[str, bytes]
    pipeline: str = "StableDiffusionPipeline"
    url: str = ""
    asked: list[str] = field(default_factory=list[str])
    gone: set[str] = field(default_factory=set[str])
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def fetched(self) -> list[str]:
        """The paths of the files that were sent."""
        begin = f"GET /{self.name}/resolve/{COMMIT}/"
        return sorted(one.removeprefix(begin) for one in self.asked if one.startswith(begin))


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a model's folder by their paths in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name in the library
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"{self.command} {path}")
        api = f"/api/models/{self.hub.name}"
        if path.startswith(f"{api}/tree/"):
            return self.json([self.entry(name, data) for name, data in self.hub.files.items()])
        if path in {api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"}:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.hub.files.items()]
            config = {"diffusers": {"_class_name": self.hub.pipeline}}
            return self.json({"id": self.hub.name, "sha": COMMIT, "siblings": siblings, "config": config})
        begin = f"/{self.hub.name}/resolve/{COMMIT}/"
        if path.startswith(begin) and (name := path.removeprefix(begin)) in self.hub.files.keys() - self.hub.gone:
            return self.file(self.hub.files[name], body=body)
        self.send_response(404)
        self.send_header("x-error-code", "RepoNotFound")
        self.send_header("content-length", "0")
        return self.end_headers()

    @staticmethod
    def entry(name: str, data: bytes) -> dict[str, Any]:
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324  as git names it

    def json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def file(self, data: bytes, *, body: bool) -> None:
        self.send_response(200)
        self.send_header("etag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("x-repo-commit", COMMIT)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data[:PART])
            self.wfile.flush()
            if data[PART:]:
                self.hub.gate.wait(20)
                self.wfile.write(data[PART:])


@contextmanager
def serving_hub(hub: Hub) -> Iterator[Hub]:
    """Serves it until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def until(true: Any, seconds: float = 20) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
