"""Of the HTTP API: what a person has made, and its files."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import IO, Any, final

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from nulltext.errors import KeptFileNotFoundError
from nulltext.web.answers import Number
from nulltext.web.bounds import MOST_NAME, check_text
from nulltext.web.history import FILES, Node
from nulltext.web.studio import Studio

_PRIVATE = {"cache-control": "private, max-age=86400, immutable"}
"""A file never changes: what it is called is made anew for each."""
_ENDS = {"png": "png", "safetensors": "safetensors", "mask": "mask.png"}
"""What of a node goes into an archive, and how its name ends there."""
_PIECE = 2**18


@final
class Opened(StreamingResponse):
    """An answer that is a file, which was opened before it begins: it is whole, whoever removes the file meanwhile."""

    def __init__(self, file: IO[bytes], kind: str, headers: Mapping[str, str]) -> None:
        """Of a file, from its beginning; it is closed when it was sent.

        Args:
            file: It.
            kind: Its media type.
            headers: What else to say of it.
        """
        self._file = file
        length = {"content-length": str(os.fstat(file.fileno()).st_size)}
        super().__init__(iter(partial(file.read, _PIECE), b""), media_type=kind, headers={**headers, **length})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        with self._file:
            await super().__call__(scope, receive, send)


class Change(BaseModel):
    """What a node shall be.

    Attributes:
        name: Its new name.
        favourite: Whether it is marked.
    """

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=MOST_NAME)
    favourite: bool | None = None


def add(api: APIRouter, studio: Studio) -> None:
    """The routes."""
    history = studio.history

    @api.get("/history", summary="All that you have made")
    def everything(request: Request) -> list[dict[str, Any]]:
        """Images, inversions and edits, the oldest first; attention maps are left out."""
        return [_brief(node) for node in history.all(request.state.person)]

    @api.get("/history/{number}", summary="An image, an inversion or an edit")
    def one(request: Request, number: Number) -> dict[str, Any]:
        """All there is to know of it."""
        return history.get(request.state.person, number).public()

    @api.patch("/history/{number}", summary="Rename or mark something")
    def change(request: Request, number: Number, body: Change) -> dict[str, Any]:
        """Gives it another name, or marks it."""
        if body.name is not None:
            check_text("the name", body.name, MOST_NAME)
        node = history.change(request.state.person, number, name=body.name, favourite=body.favourite)
        return _brief(node)

    @api.delete("/history/{number}", summary="Delete something with all that was made from it")
    def delete(request: Request, number: Number) -> list[str]:
        """Says what is gone."""
        return studio.remove(request.state.person, number)

    @api.get(
        "/history/{number}/archive",
        summary="Something with all it was made from, as a ZIP file",
        response_class=StreamingResponse,
    )
    def archive(request: Request, number: Number) -> Response:
        """Images, inversion and masks."""
        person = request.state.person
        file = _archive(studio, person, history.chain(person, number))
        name = {"content-disposition": 'attachment; filename="nulltext.zip"', "cache-control": "no-store"}
        return Opened(file, "application/zip", name)

    @api.get("/files/{number}", summary="A file of something", response_class=StreamingResponse)
    def file(request: Request, number: Number) -> Response:
        """An image, a mask or an inversion of yours."""
        suffix = number.rpartition(".")[2]
        if suffix not in FILES:
            raise KeptFileNotFoundError(f"there is no file {number[:64]!r} of yours; expected one that a node names.")
        return Opened(studio.workshop.people.open(request.state.person, number), FILES[suffix], _PRIVATE)


def _brief(node: Node) -> dict[str, Any]:
    shown = node.public()
    return {**shown, "facts": {name: value for name, value in node.facts.items() if name not in {"maps", "losses"}}}


def _archive(studio: Studio, person: str, nodes: list[Node]) -> IO[bytes]:
    """Files of nodes in one, on the disk: they may be large."""
    with ExitStack() as stack:
        parts = {
            f"{place}-{node.kind}.{end}": stack.enter_context(studio.history.open(person, node, suffix))
            for place, node in enumerate(nodes, 1)
            for suffix, end in _ENDS.items()
            if suffix in node.files
        }
        file = tempfile.TemporaryFile()  # noqa: SIM115  closed when it was sent
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for name, part in parts.items():
                with packed.open(name, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(part, copy, _PIECE)
    file.seek(0)
    return file
