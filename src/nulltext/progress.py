"""Progress as plain events: the core is silent and tells a callback where it is.

A front end maps the events to a bar, a queue or a log; the word "tqdm" in a callback's place stands for bars, in a
notebook or a terminal. A callback that raises (`nulltext.errors.Cancelled`, or anything else) stops the work at that
point.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # `import nulltext` does not wait for torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """One event.

    Attributes:
        phase: What is being done: "invert", "optimise" or "sample" of images; in training "render" or the name of a
            stage; in measuring "measure" of images, or "autoencoder", "judges", "clip", "generate" or "speed".
        step: Steps of this phase that are done, 0 to `total`.
        total: Steps of this phase altogether.
        loss: The objective's present value, where the phase has one.
        image: Which image it is about, from 1 to `images`, where several are done in turn.
        images: How many images are done in turn.
        latents: [B, C, h, w] how far the image is, where the phase draws one: for a preview.
    """

    phase: str
    step: int
    total: int
    loss: float | None = None
    image: int | None = None
    images: int | None = None
    latents: "Tensor | None" = field(default=None, repr=False, compare=False)


OnProgress = Callable[[Progress], None]
"""What is told of every step; to cancel what is under way it raises."""
Telling = OnProgress | Literal["tqdm"]
"""A callback, or the word for bars."""


def numbered(on_progress: OnProgress, image: int, images: int) -> OnProgress:
    """A callback that passes events on, and tells with each which image of how many it is about."""
    return lambda event: on_progress(replace(event, image=image, images=images))


def silent(event: Progress, /) -> None:
    """The default callback: says nothing."""
