"""Of the HTTP API: what can be chosen, and samples to begin with."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from nulltext.web.bounds import MOST_NAME
from nulltext.web.checkpoints import models as listed
from nulltext.web.forms import forms
from nulltext.web.samples import sample, samples
from nulltext.web.studio import Studio


def add(api: APIRouter, studio: Studio) -> None:
    """The routes."""
    workshop = studio.workshop

    @api.get("/models", summary="The models that may be chosen")
    def models() -> list[dict[str, Any]]:
        """Which are on this machine, and the words that each knows if it knows few."""
        return listed(workshop)

    @api.get("/methods", summary="The methods and their settings")
    def methods() -> Mapping[str, Any]:
        """Inverters, editors, rules of guidance and what finds masks, each with its settings."""
        return forms()

    @api.get("/limits", summary="The bounds that a page has to know")
    def limits() -> dict[str, int]:
        """What is refused beyond."""
        of = workshop.limits
        return {
            "upload_bytes": of.upload_bytes, "characters": of.characters, "steps": of.steps, "prompts": of.prompts,
        }  # fmt: skip

    @api.get("/samples", summary="Images to begin with")
    def all_samples() -> list[dict[str, str]]:
        """Their files' names and prompts."""
        return [{"name": one.name, "prompt": one.prompt} for one in samples()]

    @api.get("/samples/{name}", summary="One of them", response_class=Response)
    def one(name: Annotated[str, Path(max_length=MOST_NAME)]) -> Response:
        """Its PNG file."""
        return Response(sample(name).data, media_type="image/png", headers={"cache-control": "max-age=86400"})
