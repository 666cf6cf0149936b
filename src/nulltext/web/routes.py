"""The HTTP API: what starts work, what tells of it, and what is kept."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from nulltext.editing.table import EDITOR
from nulltext.images import Fit
from nulltext.inversion.table import METHOD
from nulltext.models.sizes import read_size
from nulltext.web import routes_about, routes_kept
from nulltext.web.answers import Finite, Name, Number, Refused, Text, Whole, Word, decode_base64
from nulltext.web.bounds import MOST_ENTRIES, MOST_NAME, check_text, plain_name
from nulltext.web.clients import client_of
from nulltext.web.opening import is_inversion
from nulltext.web.prompts import remarks
from nulltext.web.requests import EditRequest, InversionRequest, Vary
from nulltext.web.statuses import Status, follow, status_of
from nulltext.web.studio import Studio

Settings = Annotated[dict[Word, Any], Field(max_length=MOST_ENTRIES)]


class Strict(BaseModel):
    """A body that has nothing but what is named."""

    model_config = ConfigDict(extra="forbid")


class Opened(BaseModel):
    """What came of an upload.

    Attributes:
        node: The image, if it was one.
        job: The job that opens it, if it was an inversion.
    """

    node: dict[str, Any] | None = None
    job: str | None = None


class Started(BaseModel):
    """A job that was started.

    Attributes:
        job: Its number, to ask by.
    """

    job: str


class InversionBody(Strict):
    """An inversion.

    Attributes:
        image: The image's id.
        prompt: What it shows.
        model: The model's name; the first of those that are offered if none is named.
        method: A row of `GET /methods`.
        steps: Steps of the sampler.
        guidance: The guidance scale; the method's own if none is given.
        negative_prompt: What guidance leads away from.
        settings: Further settings of the method, by the names of the Python class.
        fit: How the image is brought to the model's size.
        size: Height and width in pixels, 128x192; the model's own if empty.
    """

    image: Name
    prompt: Text
    model: Name = ""
    method: Name = METHOD
    steps: Whole = 50
    guidance: Finite | None = None
    negative_prompt: Text = ""
    settings: Settings = Field(default_factory=dict)
    fit: Fit = "crop"
    size: Name = ""


class NewEdit(Strict):
    """An edit.

    Attributes:
        parent: The id of the inversion, or of the edit that this one goes on from.
        prompt: The new prompt.
        cross: How much of the composition to keep, 0 to 1; what the model recommends if not given.
        self_share: How much of the layout to keep, 0 to 1; likewise.
        weights: Factors by word, -4 to 10.
        blend_words: Words where the image may change; none for everywhere.
        mask: An image's file as base64, white where it may change.
        mask_source: What finds a mask in its place, diffedit.
        vary: composition, layout or strength: four images side by side.
        editor: The method; what stands above, but for the prompt, is of prompt-to-prompt, and a mask of inpaint and
            blended-diffusion as well, which need one.
        settings: Further settings of the editor, by the names of the Python class.
    """

    parent: Name
    prompt: Text
    cross: Finite | None = None
    self_share: Finite | None = None
    weights: dict[Word, Finite] = Field(default_factory=dict, max_length=MOST_ENTRIES)
    blend_words: list[Word] = Field(default_factory=list, max_length=MOST_ENTRIES)
    mask: str | None = None
    mask_source: Name = ""
    vary: Vary = ""
    editor: Name = EDITOR
    settings: Settings = Field(default_factory=dict)


class PromptBody(Strict):
    """A prompt to look at.

    Attributes:
        prompt: The prompt.
        model: For which model.
    """

    prompt: Text
    model: Name


def router(studio: Studio) -> APIRouter:
    """The API's routes."""
    api = APIRouter(prefix="/v1", tags=["nulltext"], responses={"4XX": {"model": Refused}})
    _route_work(api, studio)
    _route_jobs(api, studio)
    routes_kept.add(api, studio)
    routes_about.add(api, studio)
    return api


def _route_work(api: APIRouter, studio: Studio) -> None:
    """What starts something."""
    workshop = studio.workshop

    @api.post("/images", status_code=HTTPStatus.CREATED, summary="Upload an image, or an inversion file")
    def image(
        request: Request, image: Annotated[UploadFile, File(description="The image, or an inversion file.")]
    ) -> Opened:
        """Keeps a photograph; an inversion file is opened by a job."""
        person, client = request.state.person, client_of(request.state)
        check_text("the file's name", image.filename or "", MOST_NAME)
        name = plain_name(image.filename or "") or "image.png"
        data = image.file.read(workshop.limits.inversion_bytes + 1)
        if is_inversion(data, name):
            return Opened(job=studio.open_inversion(person, data, name, client).number)
        return Opened(node=studio.open_image(person, data, name, client).public())

    @api.post("/inversions", status_code=HTTPStatus.ACCEPTED, summary="Invert an image")
    def invert(request: Request, body: InversionBody) -> Started:
        """Starts an inversion; follow the job until it is done."""
        person, client = request.state.person, client_of(request.state)
        workshop.jobs.check(person, client)
        given: Mapping[str, Any] = body.model_dump(exclude={"image", "size", "model"})
        size = read_size("size", body.size) if body.size else None
        asked = InversionRequest(**given, size=size, model=body.model or workshop.models[0])
        return Started(job=studio.invert(person, body.image, asked, client).number)

    @api.post("/edits", status_code=HTTPStatus.ACCEPTED, summary="Edit an image that was inverted")
    def edit(request: Request, body: NewEdit) -> Started:
        """Starts an edit; follow the job until it is done."""
        person, client = request.state.person, client_of(request.state)
        workshop.jobs.check(person, client)
        given: Mapping[str, Any] = body.model_dump(exclude={"parent", "mask", "blend_words"})
        asked = EditRequest(**given, blend_words=tuple(body.blend_words))
        mask = None if body.mask is None else decode_base64(body.mask)
        return Started(job=studio.edit(person, body.parent, asked, mask, client).number)

    @api.post("/prompts", summary="What is to be said of a prompt before it is used")
    def prompt(body: PromptBody) -> dict[str, Any]:
        """Words that the model does not know, and what may be meant otherwise."""
        return remarks(workshop, body.model, body.prompt)


def _route_jobs(api: APIRouter, studio: Studio) -> None:
    """What tells of a job, or ends it."""
    jobs = studio.workshop.jobs

    @api.get("/jobs/{number}", summary="How far a job is")
    def status(request: Request, number: Number) -> Status:
        """Progress while it waits and runs, then what it made or what went wrong."""
        return status_of(jobs, jobs.get(request.state.person, number))

    @api.get("/jobs/{number}/events", summary="A job's progress as it comes", response_class=StreamingResponse)
    async def events(request: Request, number: Number) -> StreamingResponse:
        """Server-sent events until the job is over: its status whenever it changes, and previews."""
        job = jobs.get(request.state.person, number)
        return StreamingResponse(
            follow(jobs, job), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    @api.delete("/jobs/{number}", summary="Cancel a job")
    def cancel(request: Request, number: Number) -> Status:
        """Stops it at once."""
        job = jobs.get(request.state.person, number)
        job.stop()
        return status_of(jobs, job)
