"""Progress as plain events: the core is silent and tells a callback where it is.

A front end maps the events to a bar, a queue or a log. A callback that raises (`nulltext.errors.Cancelled`, or anything
else) stops the work at that point.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `import nulltext` does not wait for torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """One event.

    Attributes:
        phase: What is being done: "invert", "optimise" or "sample" of pictures; in training "render" or the name of a
            stage; in measuring "measure" of pictures, or "autoencoder", "judges", "clip", "generate" or "speed".
        step: Steps of this phase that are done, 0 to `total`.
        total: Steps of this phase altogether.
        loss: The objective's present value, where the phase has one.
        picture: Which picture it is about, from 1 to `pictures`, where several are done in turn.
        pictures: How many pictures are done in turn.
        latents: [B, C, h, w] how far the picture is, where the phase draws one: for a preview.
    """

    phase: str
    step: int
    total: int
    loss: float | None = None
    picture: int | None = None
    pictures: int | None = None
    latents: "Tensor | None" = field(default=None, repr=False, compare=False)


OnProgress = Callable[[Progress], None]


def numbered(on_progress: OnProgress, picture: int, pictures: int) -> OnProgress:
    """A callback that passes events on, and tells with each which picture of how many it is about."""
    return lambda event: on_progress(replace(event, picture=picture, pictures=pictures))


def silent(event: Progress, /) -> None:
    """The default callback: says nothing."""
