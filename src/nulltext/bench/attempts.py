"""Work on one image that may fail without ending that on the others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, final

import torch

from nulltext.errors import Cancelled, NulltextError, OutputError

Result = TypeVar("Result")


@final
@dataclass(frozen=True)
class Failed:
    """Stands in a result's place.

    Attributes:
        reason: Why there is none, in a sentence.
    """

    reason: str


def attempt(work: Callable[[], Result]) -> Result | Failed:
    """The result of a piece of work, or why it has none.

    Raises:
        Cancelled: The work was told to stop.
        OutputError: Results cannot be written, which will be no better with the next image.
    """
    try:
        return work()
    except (Cancelled, OutputError):
        raise
    except Exception as error:  # noqa: BLE001  hours of work on other images are not lost by whatever befell this one
        failed = Failed(_reason(error))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # now that no stack trace holds the tensors of what ran out of memory
    return failed


def _reason(error: Exception) -> str:
    if isinstance(error, NulltextError):
        return str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return f"there was not enough memory: {error or 'the system gave no more'}."
    return f"{type(error).__name__}: {error}"
