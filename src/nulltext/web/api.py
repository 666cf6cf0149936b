"""The HTTP API: what the page can do, for other programs."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from nulltext.editing.table import EDITOR
from nulltext.errors import SettingError
from nulltext.images import Fit
from nulltext.inversion.table import INVERTERS, METHOD
from nulltext.models.sizes import read_size
from nulltext.web.answers import Finite, Name, Number, Refused, Text, Whole, Word, decode_base64
from nulltext.web.bodies import parse
from nulltext.web.bounds import MOST_ENTRIES, MOST_NAME, check_text
from nulltext.web.clients import client_of
from nulltext.web.handlers import is_inversion
from nulltext.web.jobs import Job
from nulltext.web.opening import open_small_mask
from nulltext.web.requests import EditRequest, InversionRequest, Vary
from nulltext.web.results import Edited, Inverted
from nulltext.web.workshop import Workshop


class Started(BaseModel):
    """A job that was started.

    Attributes:
        job: Its number, to ask by.
    """

    job: str


class JobStatus(BaseModel):
    """How far a job is.

    Attributes:
        state: waiting, running, done, failed or cancelled.
        position: How many jobs are before it.
        phase, step, total, loss: Its last progress.
        seconds_left: How long it will still take, if that can be told.
        message: What went wrong, if it failed.
        result: What it made, if it is done.
    """

    state: str
    position: int
    phase: str | None = None
    step: int | None = None
    total: int | None = None
    loss: float | None = None
    seconds_left: float | None = None
    message: str | None = None
    result: dict[str, Any] | None = None


class EditBody(BaseModel):
    """An edit.

    Attributes:
        job: The inversion's job.
        prompt: The new prompt.
        before: Prompts of edits that this one goes on from, drawn with the same settings, but everywhere.
        cross: How much of the composition to keep, 0 to 1; if not given, what the model recommends, which the result
            of the inversion says.
        self_share: How much of the layout to keep, 0 to 1; likewise.
        weights: Factors by word, -4 to 10.
        blend_words: Words where the image may change; none for everywhere.
        mask: An image as base64, white where it may change.
        mask_source: What finds a mask in its place, diffedit.
        vary: composition, layout or strength: four images side by side.
        editor: The method; what stands above, but for the prompt, is of prompt-to-prompt, and a mask of inpaint and
            blended-diffusion as well, which need one.
        settings: Further settings of the editor, by the names of the Python class.
    """

    model_config = ConfigDict(extra="forbid")

    job: Name
    prompt: Text
    before: list[Text] = Field(default_factory=list, max_length=MOST_ENTRIES)
    cross: Finite | None = None
    self_share: Finite | None = None
    weights: dict[Word, Finite] = Field(default_factory=dict, max_length=MOST_ENTRIES)
    blend_words: list[Word] = Field(default_factory=list, max_length=MOST_ENTRIES)
    mask: str | None = None
    mask_source: Name = ""
    vary: Vary = ""
    editor: Name = EDITOR
    settings: dict[Word, Any] = Field(default_factory=dict, max_length=MOST_ENTRIES)


def router(workshop: Workshop) -> APIRouter:
    """The API's routes."""
    api = APIRouter(prefix="/api", tags=["nulltext"], responses={"4XX": {"model": Refused}})
    _route_work(api, workshop)
    _route_jobs(api, workshop)
    _route_files(api, workshop)

    @api.get("/models", summary="The models that may be chosen")
    def models() -> list[str]:
        """Their names."""
        return list(workshop.models)

    return api


def _route_work(api: APIRouter, workshop: Workshop) -> None:
    """What starts a job."""

    @api.post("/inversions", status_code=HTTPStatus.ACCEPTED, summary="Invert an image")
    def invert(
        request: Request,
        image: Annotated[UploadFile, File(description="The image, or an inversion file.")],
        prompt: Annotated[Text, Form(description="What it shows; not needed for an inversion file.")] = "",
        model: Annotated[Name, Form()] = workshop.models[0],
        method: Annotated[Name, Form(description=f"One of {', '.join(INVERTERS)}.")] = METHOD,
        steps: Annotated[Whole, Form()] = 50,
        guidance: Annotated[float | None, Form()] = None,
        negative_prompt: Annotated[Text, Form(description="What guidance leads away from.")] = "",
        settings: Annotated[
            Text, Form(description='Further settings of the method as a JSON object, {"inner_steps": 10}.')
        ] = "{}",
        fit: Annotated[Fit, Form(description="How the image is brought to the model's size.")] = "crop",
        size: Annotated[Text, Form(description="Height and width in pixels, 128x192; the model's own if empty.")] = "",
    ) -> Started:
        """Starts an inversion, or opens one that was kept; ask for the job until it is done."""
        person, client = request.state.person, client_of(request.state)
        workshop.jobs.check(person, client)
        data, name = image.file.read(workshop.limits.inversion_bytes + 1), image.filename or "image.png"
        check_text("the file's name", name, MOST_NAME)
        if is_inversion(data, name):
            return Started(job=workshop.open_inversion(person, data, name, client).number)
        asked = InversionRequest(
            prompt=prompt,
            model=model,
            method=method,
            steps=steps,
            guidance=guidance,
            negative_prompt=negative_prompt,
            settings=parse(settings.encode("utf-8", "surrogatepass"))[0],
            fit=fit,
            size=read_size("size", size) if size else None,
        )
        return Started(job=workshop.invert(person, data, name, asked, client).number)

    @api.post("/edits", status_code=HTTPStatus.ACCEPTED, summary="Edit an image that was inverted")
    def edit(request: Request, body: EditBody) -> Started:
        """Starts an edit; ask for the job until it is done."""
        person, client = request.state.person, client_of(request.state)
        inversion = workshop.jobs.get(person, body.job)
        inverted = inversion.result
        if not isinstance(inverted, Inverted):
            raise SettingError("the job is no inversion, or is not done; expected the number of one that is. Wait.")
        workshop.jobs.check(person, client)
        workshop.jobs.use(inversion)
        fields = body.model_dump(exclude={"job", "mask", "before", "blend_words"})
        one = EditRequest(**fields, blend_words=tuple(body.blend_words), mask=_mask(workshop, inverted, body.mask))
        everywhere = replace(one, blend_words=(), mask=None, mask_source="", vary="")
        before = [replace(everywhere, prompt=prompt) for prompt in body.before]
        asked = replace(one, before=tuple(before))
        return Started(job=workshop.edit(person, inverted, asked, client).number)


def _route_jobs(api: APIRouter, workshop: Workshop) -> None:
    """What tells of a job, or ends it."""

    @api.get("/jobs/{number}", summary="How far a job is")
    def status(request: Request, number: Number) -> JobStatus:
        """Progress while it waits and runs, then its result or what went wrong."""
        return job_status(workshop, workshop.jobs.get(request.state.person, number))

    @api.delete("/jobs/{number}", summary="Cancel a job")
    def cancel(request: Request, number: Number) -> JobStatus:
        """Stops it at once."""
        job = workshop.jobs.get(request.state.person, number)
        job.stop()
        return job_status(workshop, job)


def _route_files(api: APIRouter, workshop: Workshop) -> None:
    """What jobs have made."""

    @api.get("/files/{number}", summary="An image or an inversion file")
    def file(request: Request, number: Number) -> FileResponse:
        """A file that a job of yours has made."""
        path = workshop.people.path(request.state.person, number)
        kind = "image/png" if path.suffix == ".png" else "application/octet-stream"
        return FileResponse(path, media_type=kind, headers={"Cache-Control": "private, no-store"})


def job_status(workshop: Workshop, job: Job[Any]) -> JobStatus:
    """How far a job is, for JSON."""
    progress, result = job.progress, job.result
    return JobStatus(
        state=job.state,
        position=workshop.jobs.position(job),
        phase=None if progress is None else progress.phase,
        step=None if progress is None else progress.step,
        total=None if progress is None else progress.total,
        loss=None if progress is None else progress.loss,
        seconds_left=job.seconds_left,
        message=job.message,
        result=dict(result.record()) if isinstance(result, Inverted | Edited) else None,
    )


def _mask(workshop: Workshop, inverted: Inverted, text: str | None) -> Image.Image | None:
    return None if text is None else open_small_mask(decode_base64(text), inverted, workshop.limits)
