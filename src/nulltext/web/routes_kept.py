"""Of the HTTP API: what a person has made, and its files."""

import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

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
        return history.remove(request.state.person, number)

    @api.get("/history/{number}/archive", summary="Something with all it was made from, as a ZIP file")
    def archive(request: Request, number: Number) -> StreamingResponse:
        """Images, inversion and masks."""
        person = request.state.person
        file = _archive(studio, person, history.chain(person, number))
        return StreamingResponse(
            _pieces(file),
            media_type="application/zip",
            headers={"content-disposition": 'attachment; filename="nulltext.zip"', "cache-control": "no-store"},
        )

    @api.get("/files/{number}", summary="A file of something", response_class=FileResponse)
    def file(request: Request, number: Number) -> Response:
        """An image, a mask or an inversion of yours."""
        suffix = number.rpartition(".")[2]
        if suffix not in FILES:
            raise KeptFileNotFoundError(f"there is no file {number[:64]!r} of yours; expected one that a node names.")
        path = studio.workshop.people.path(request.state.person, number)
        return FileResponse(path, media_type=FILES[suffix], headers=_PRIVATE)


def _brief(node: Node) -> dict[str, Any]:
    shown = node.public()
    return {**shown, "facts": {name: value for name, value in node.facts.items() if name not in {"maps", "losses"}}}


def _archive(studio: Studio, person: str, nodes: list[Node]) -> IO[bytes]:
    """Files of nodes in one, on the disk: they may be large."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  closed when it was sent
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for place, node in enumerate(nodes, 1):
            for suffix, end in _ENDS.items():
                if suffix in node.files:
                    packed.write(studio.history.path(person, node, suffix), f"{place}-{node.kind}.{end}")
    file.seek(0)
    return file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
