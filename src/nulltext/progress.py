"""Progress as plain events: the core is silent and tells a callback where it is.

A front end maps the events to a bar, a queue or a log. A callback that raises (`nulltext.errors.Cancelled`, or anything
else) stops the work at that point.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One event.

    Attributes:
        phase: What is being done, one of "invert", "optimise", "sample".
        step: Steps of this phase that are done, 0 to `total`.
        total: Steps of this phase altogether.
        loss: The objective's present value, where the phase has one.
    """

    phase: str
    step: int
    total: int
    loss: float | None = None


OnProgress = Callable[[Progress], None]


def silent(event: Progress, /) -> None:
    """The default callback: says nothing."""
