"""What stands where a figure would, if it cannot be measured."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Missing:
    """No figure: a library or weights are not on this machine, or there is nothing to measure.

    Attributes:
        reason: What is missing and what to do about it.
    """

    reason: str
