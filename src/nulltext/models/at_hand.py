"""Parts that are in memory already, in the place of those that a folder would hold."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from nulltext.errors import UnsupportedPipelineError

_NONE: Mapping[Path, Any] = {}
_PARTS: Final[ContextVar[Mapping[Path, Any]]] = ContextVar("parts", default=_NONE)


@contextmanager
def at_hand(parts: Mapping[Path, Any]) -> Generator[None]:
    """What is read from a folder meanwhile is taken from here; an adapter reads a pipeline as it reads a folder.

    Args:
        parts: Networks and tokenizers by the folders of their configs.
    """
    before = _PARTS.set(parts)
    try:
        yield
    finally:
        _PARTS.reset(before)


def part_at(folder: Path, made: type[Any]) -> Any:  # noqa: ANN401  diffusers carries no types
    """The part that is at hand for a folder; None if it has to be read.

    Raises:
        UnsupportedPipelineError: It is of another class than `made`.
    """
    part = _PARTS.get().get(folder)
    if part is not None and not isinstance(part, made):
        raise UnsupportedPipelineError(
            f"{folder} is a {type(part).__name__}; expected a {made.__name__}. Put in its place the one that the "
            "checkpoint was trained with."
        )
    return part
