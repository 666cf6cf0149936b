"""A model at work for a job: it stops when it shall, and shows how far the image is."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import torch
from PIL import Image

from nulltext.images import to_image
from nulltext.models.base import Model
from nulltext.progress import OnProgress, Progress
from nulltext.types import OnePixels
from nulltext.web.jobs import Job

Result = TypeVar("Result")

PREVIEW_SIDE = 512
"""The longest side of a preview, in pixels."""
PREVIEW_SHARE = 10
"""A preview is made once so many times its own cost has been spent on the work."""


@contextmanager
def stopping(model: Model, check: Callable[[], None]) -> Generator[None]:
    """Makes a model look, before every evaluation, whether it shall stop: `check` raises if so."""

    def look(*_: object) -> None:
        check()

    handle = model.denoiser.register_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()


def previewing(model: Model, job: Job[Result], restore: Callable[[OnePixels], Image.Image] = to_image) -> OnProgress:
    """A callback that passes progress on to a job and now and then decodes how far the image is."""
    cost, last = 0.0, time.perf_counter()

    def tell(event: Progress) -> None:
        nonlocal cost, last
        job.tell(event)
        latents = event.latents
        now = time.perf_counter()
        if latents is None or now - last < PREVIEW_SHARE * cost:
            return
        with torch.no_grad():
            shown = restore(model.decode(latents[-1:]).cpu())
        shown.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        job.preview = shown
        last = time.perf_counter()
        cost = last - now

    return tell
