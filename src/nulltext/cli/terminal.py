"""What a person sees: results on stdout; progress on stderr, so that stdout can be piped."""

import json
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import typer

from nulltext.progress import OnProgress
from nulltext.progress import Progress as Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import ProgressColumn, TaskID

PHASES = {"invert": "DDIM inversion", "optimise": "null-text optimisation", "sample": "sampling"}
"""What a phase of the core is called here; others are shown under their own name."""


def print_json(record: dict[str, Any]) -> None:
    """Prints one JSON object. JSON has no infinity and no not-a-number; they become null."""
    typer.echo(json.dumps(_finite(record), ensure_ascii=False, indent=2, allow_nan=False))


def _finite(value: Any) -> Any:  # noqa: ANN401  whatever JSON can hold
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _finite(each) for key, each in cast("dict[str, Any]", value).items()}
        case list() | tuple():
            return [_finite(each) for each in cast("Sequence[Any]", value)]
        case _:
            return value


def show(what: "RenderableType") -> None:
    """Prints a result for a person: a rich renderable, or plain text as it is."""
    from rich.console import Console

    Console(highlight=False, markup=False, emoji=False).print(what, soft_wrap=isinstance(what, str))


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def loading(name: str) -> Generator[None]:
    """Says that a model is being loaded, while it is."""
    with _stderr().status(f"loading {name}"):
        yield


@contextmanager
def progress(prefix: str = "") -> Generator[OnProgress]:
    """Shows the core's progress events as bars on stderr, one a phase; silent where stderr is no terminal.

    Args:
        prefix: Stands before the name of each phase, to tell one picture's from another's.

    Yields:
        The callback to hand to the core.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[ProgressColumn, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    console = _stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        current: tuple[str, TaskID] | None = None

        def on_progress(event: Event) -> None:
            nonlocal current
            if current is None or current[0] != event.phase:
                if current is not None:
                    bars.remove_task(current[1])
                label = prefix + PHASES.get(event.phase, event.phase)
                current = event.phase, bars.add_task(label, total=event.total, loss="")
            loss = "" if event.loss is None else f"loss {event.loss:.1e}"
            bars.update(current[1], completed=event.step, total=event.total, loss=loss)

        yield on_progress
