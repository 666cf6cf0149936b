"""The page: files of the package, sent as they are; nothing is built, and nothing comes from elsewhere."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from nulltext.web.policy import PAGE

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
"""What is sent, by suffix; licences lie beside the libraries for those who look into the package."""
VENDORED = {
    "vendor/htm-preact.js": (
        "htm 3.1.1, preact/standalone.module.js, with Preact 10.5.15 inside",
        "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7",
        ("vendor/LICENSE-htm", "vendor/LICENSE-preact"),
    ),
}
"""Libraries of npm: which they are, the SHA-256 of what was published, and their licences."""
_FOLDER = "page"
_HEADERS = {"content-security-policy": PAGE.decode(), "cache-control": "no-cache", "vary": "accept-encoding"}


class Asset(NamedTuple):
    """A file of the page.

    Attributes:
        kind: Its type.
        data: As it is.
        packed: Compressed.
        tag: What changes with it.
    """

    kind: str
    data: bytes
    packed: bytes
    tag: str


def assets() -> Mapping[str, Asset]:
    """All files of the page by their paths."""
    found: dict[str, Asset] = {}
    for path, file in _walk(files("nulltext.web") / _FOLDER, ""):
        kind = KINDS.get(path.rpartition(".")[2])
        if kind is not None:
            data = file.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            found[path] = Asset(kind, data, gzip.compress(data, 9, mtime=0), tag)
    return found


def router() -> APIRouter:
    """The page's routes; its addresses are relative, so that they hold below any path."""
    page, kept = APIRouter(include_in_schema=False), assets()

    @page.get("/")
    def index(request: Request) -> Response:
        return _answer(kept["index.html"], request)

    @page.get("/page/{path:path}")
    def file(path: str, request: Request) -> Response:
        return _answer(kept[path], request) if path in kept else Response(status_code=404)

    return page


def _answer(asset: Asset, request: Request) -> Response:
    headers = {**_HEADERS, "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):  # every browser takes it
        return Response(asset.packed, media_type=asset.kind, headers={**headers, "content-encoding": "gzip"})
    return Response(asset.data, media_type=asset.kind, headers=headers)


def _walk(folder: Traversable, above: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{above}{entry.name}/")
        else:
            yield f"{above}{entry.name}", entry
