"""What passes through the sampler to a network's attention. What is done there, `nulltext.attention` knows."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class Steered(Protocol):
    """What is done to the attention of one image in one evaluation; nothing here looks into it."""

    @property
    def error(self) -> Exception | None:
        """What the image's control raised in the evaluation, if it did."""
        ...


@runtime_checkable
class Steering(Protocol):
    """What is done to the attention of one image while it is sampled."""

    def at(self, step: int) -> Steered:
        """What is done in one evaluation of a sampling step, 0 for the first."""
        ...


AttentionPlan = Sequence[tuple[int, Steered | None]]
"""For a batch, in order: so many rows, and what is done to their attention. An empty one leaves all rows alone."""
