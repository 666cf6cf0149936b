"""What a person sees: results on stdout; progress on stderr, so that stdout can be piped."""

import json
import math
import re
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import typer

from nulltext.models.sizes import SizeWarning
from nulltext.progress import OnProgress
from nulltext.progress import Progress as Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import ProgressColumn, TaskID
    from rich.table import Table

PHASES = {"invert": "DDIM inversion", "optimise": "null-text optimisation", "sample": "sampling"}
"""What a phase of the core is called here; others are shown under their own name."""

WIDE = 80
"""Columns of a terminal from which on there is room for a bar beside the words."""

LOG_EVERY = 60.0
"""Seconds between two lines of progress where stderr is no terminal."""


_UNSAFE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
"""Control characters, which a terminal obeys; what turns the direction of writing; halves of characters."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""A stranger's text as it may reach a terminal: what that would obey is spelt out, an escape as ``\x1b``.

    Args:
        text: Out of a file, off the command line, or of an error that may quote either.
        lines: Whether it may have several lines.
    """
    spelt = _UNSAFE.sub(lambda unsafe: unsafe[0].encode("unicode_escape").decode(), text)
    return spelt if lines else spelt.replace("\n", "\\n").replace("\t", "\\t")


def say(text: str) -> None:
    """Prints a line for a person on stderr."""
    typer.echo(printable(text), err=True)


@contextmanager
def saying_warnings() -> Generator[None]:
    """Says what the core warns of, a sentence each, instead of where in the code it did."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", SizeWarning)
        yield
    for text in dict.fromkeys(str(each.message) for each in found):
        say(f"Warning: {text}")


def print_json(record: dict[str, Any]) -> None:
    """Prints one JSON object. JSON has no infinity and no not-a-number; they become null."""
    text = json.dumps(_finite(record), ensure_ascii=False, indent=2, allow_nan=False)
    typer.echo(_UNSAFE.sub(lambda unsafe: f"\\u{ord(unsafe[0]):04x}", text))


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
    from rich.table import Table

    console = _console(highlight=False, markup=False, emoji=False)
    if isinstance(what, Table) and what.show_header:
        what = _fitted(what, console.width)
    console.print(what, soft_wrap=isinstance(what, str))


LEAST = 24
"""The width to which a table's names may be broken before its rows are written one below the other."""


def _fitted(table: "Table", width: int) -> "Table | str":
    """A table in which no figure is broken, or its rows as blocks where it does not fit."""
    natural = [max(_length(each) for each in (column.header, *column.cells)) for column in table.columns]
    margins = 3 * len(table.columns) + 1
    if sum(natural) + margins <= width:
        return table
    for column in (column for column in table.columns if column.justify == "right"):
        column.width = max(_length(each) for each in (*str(column.header).split(), column.footer, *column.cells))
    needed = [column.width or min(natural[index], LEAST) for index, column in enumerate(table.columns)]
    return table if sum(needed) + margins <= width else _blocks(table)


def _length(cell: object) -> int:
    return max(map(len, str(cell).splitlines() or [""]))


def _blocks(table: "Table") -> str:
    """The rows of a table one below the other, each with its names above its figures."""
    right = [column for column in table.columns if column.justify == "right"] or table.columns[1:]
    names = [list(map(str, column.cells)) for column in table.columns if column not in right]
    figures = {" ".join(str(column.header).split()): list(map(str, column.cells)) for column in right}
    margin = max(map(len, figures), default=0)
    lines = [] if table.title is None else [str(table.title)]
    for row in range(table.row_count):
        lines += ["", "  ".join(name for name in (cells[row] for cells in names) if name)]
        lines += [f"  {heading:<{margin}}  {cells[row]}".rstrip() for heading, cells in figures.items() if cells[row]]
    return "\n".join(lines)


def _stderr() -> "Console":
    return _console(stderr=True, highlight=False)


def _console(**settings: Any) -> "Console":  # noqa: ANN401  a console's own
    """A console that lets no control character of a text through, wherever in a table that stands."""
    from rich.console import Console
    from rich.text import Text

    class Careful(Console):
        def render_str(self, text: str, **settings: Any) -> Text:  # noqa: ANN401
            return super().render_str(printable(text, lines=True), **settings)

    return Careful(**settings)


@contextmanager
def loading(name: str) -> Generator[None]:
    """Says that a model is being loaded, while it is."""
    from rich.text import Text

    with _stderr().status(
        Text(printable(f"loading {name}"))
    ):  # not as a string, in which rich would read brackets as markup
        yield


@contextmanager
def progress() -> Generator[OnProgress]:
    """Shows the core's progress events on stderr: as bars on a terminal, as a line a minute in a log.

    Yields:
        The callback to hand to the core.
    """
    console = _stderr()
    with _bars(console) if console.is_terminal else nullcontext(_log_line()) as on_progress:
        yield on_progress


def _log_line() -> OnProgress:
    last = time.monotonic()

    def on_progress(event: Event) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_EVERY:
            last = time.monotonic()
            say(f"{_label(event)} {event.step}/{event.total} {_loss(event)}".rstrip())

    return on_progress


@contextmanager
def _bars(console: "Console") -> Generator[OnProgress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    label, counted = TextColumn("{task.description}", markup=False), MofNCompleteColumn()
    columns: tuple[ProgressColumn, ...] = (counted, label)  # on a narrow terminal what comes last is cut
    if console.width >= WIDE:
        columns = (label, BarColumn(), counted, TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        current: tuple[str, TaskID] | None = None

        def on_progress(event: Event) -> None:
            nonlocal current
            label = _label(event)
            if current is None or current[0] != label:
                if current is not None:
                    bars.remove_task(current[1])
                current = label, bars.add_task(label, total=event.total, loss="")
            bars.update(current[1], completed=event.step, total=event.total, loss=_loss(event))

        yield on_progress


def _label(event: Event) -> str:
    which = "" if event.image is None else f"image {event.image} of {event.images}: "
    return printable(which + PHASES.get(event.phase, event.phase))


def _loss(event: Event) -> str:
    return "" if event.loss is None else f"loss {event.loss:.1e}"
