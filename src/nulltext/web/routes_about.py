"""Of the HTTP API: what can be chosen, and samples to begin with."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from nulltext.web.answers import Name
from nulltext.web.bounds import MOST_NAME
from nulltext.web.checkpoints import models as listed
from nulltext.web.clients import client_of
from nulltext.web.downloads import Download
from nulltext.web.forms import forms
from nulltext.web.samples import sample, samples
from nulltext.web.studio import Studio

Model = Annotated[str, Query(max_length=MOST_NAME)]


class DownloadBody(BaseModel):
    """A download.

    Attributes:
        model: One of the models that are offered.
    """

    model_config = ConfigDict(extra="forbid")
    model: Name


def add(api: APIRouter, studio: Studio) -> None:
    """The routes."""
    workshop = studio.workshop

    @api.get("/models", summary="The models that may be chosen")
    def models() -> list[dict[str, Any]]:
        """Which are on this machine, and the words that each knows if it knows few."""
        return listed(workshop)

    _route_downloads(api, studio)

    @api.get("/methods", summary="The methods and their settings")
    def methods() -> Mapping[str, Any]:
        """Inverters, editors, rules of guidance and what finds masks, each with its settings."""
        return forms()

    @api.get("/limits", summary="The bounds that a page has to know")
    def limits() -> dict[str, int]:
        """What is refused beyond."""
        of = workshop.limits
        return {
            "upload_bytes": of.upload_bytes, "pixels": of.pixels, "characters": of.characters, "steps": of.steps,
            "prompts": of.prompts,
        }  # fmt: skip

    @api.get("/samples", summary="Images to begin with")
    def all_samples() -> list[dict[str, str]]:
        """Their files' names and prompts."""
        return [{"name": one.name, "prompt": one.prompt} for one in samples()]

    @api.get("/samples/{name}", summary="One of them", response_class=Response)
    def one(name: Annotated[str, Path(max_length=MOST_NAME)]) -> Response:
        """Its PNG file."""
        return Response(sample(name).data, media_type="image/png", headers={"cache-control": "max-age=86400"})


def _route_downloads(api: APIRouter, studio: Studio) -> None:
    """Models that are not on this machine."""

    def allowed(request: Request, model: str) -> str:
        studio.workshop.check_model(model, here=client_of(request.state).here)
        return model

    @api.get("/downloads", summary="How far a model is that is not on this machine, and what it takes")
    def look(request: Request, model: Model) -> Download:
        """Asks the hub; fetches nothing."""
        return studio.downloads.look(allowed(request, model))

    @api.post("/downloads", status_code=HTTPStatus.ACCEPTED, summary="Download a model that is offered")
    def start(request: Request, body: DownloadBody) -> Download:
        """Ask how far it is until it is here."""
        return studio.downloads.start(request.state.person, allowed(request, body.model))

    @api.delete("/downloads", status_code=HTTPStatus.NO_CONTENT, summary="Cancel a download of your own")
    def stop(request: Request, model: Model) -> None:
        """What has come is kept for the next."""
        studio.downloads.stop(request.state.person, model)
