"""How far a job is: asked for once, or followed to its end as a stream of events."""

import asyncio
import base64
import io
from collections.abc import AsyncGenerator
from typing import Any

from PIL import Image
from pydantic import BaseModel

from nulltext.web.jobs import Job, Jobs
from nulltext.web.studio import Made

POLL = 0.15
"""Seconds between two looks at a job."""
_BEAT = 15.0
"""Seconds after which a stream says that it is still there, so that one that was left is noticed."""


class Status(BaseModel):
    """How far a job is.

    Attributes:
        id: What it is called.
        state: waiting, running, done, failed or cancelled.
        position: How many jobs are before it.
        phase: What is being done: invert, optimise or sample.
        step: How many steps of the phase are done.
        total: Of how many.
        loss: The objective's present value, where there is one.
        seconds_left: How long it will still take, if that can be told.
        message: What went wrong, if it failed.
        result: The ids of the nodes that it made, and the seconds that took, if it is done.
    """

    id: str
    state: str
    position: int
    phase: str | None = None
    step: int | None = None
    total: int | None = None
    loss: float | None = None
    seconds_left: float | None = None
    message: str | None = None
    result: dict[str, Any] | None = None


def status_of(jobs: Jobs, job: Job[Any]) -> Status:
    """How far a job is."""
    progress, result = job.progress, job.result
    return Status(
        id=job.number,
        state=job.state,
        position=jobs.position(job),
        phase=None if progress is None else progress.phase,
        step=None if progress is None else progress.step,
        total=None if progress is None else progress.total,
        loss=None if progress is None else progress.loss,
        seconds_left=job.seconds_left,
        message=job.message and job.message.encode(errors="replace").decode(),  # half a character fits no answer
        result=dict(result.record()) if isinstance(result, Made) else None,
    )


async def follow(jobs: Jobs, job: Job[Any]) -> AsyncGenerator[str]:
    """A job's status whenever it changes, and a preview whenever there is a new one, until it is over.

    Yields:
        Server-sent events: `status` with a `Status`, `preview` with an image as a data address.
    """
    last: Status | None = None
    seen: Image.Image | None = None
    quiet = 0.0
    while True:
        over, preview = job.over, job.preview
        status = status_of(jobs, job)
        if status != last:
            yield f"event: status\ndata: {status.model_dump_json()}\n\n"
            last, quiet = status, 0.0
        if preview is not None and preview is not seen:
            seen = preview
            yield f"event: preview\ndata: {await asyncio.to_thread(_address, preview)}\n\n"
        if over or jobs.leaving:  # else its connection would be cut while the server ends
            return
        await asyncio.sleep(POLL)
        quiet += POLL
        if quiet >= _BEAT:
            yield ": still here\n\n"
            quiet = 0.0


def _address(image: Image.Image) -> str:
    """An image as a data address."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=70, method=0)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
