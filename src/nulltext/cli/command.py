"""What every command does alike: turns errors into one clear message and an exit code, and Ctrl-C into a clean stop.

| exit code | meaning                                                                           |
|-----------|-----------------------------------------------------------------------------------|
| 0         | done                                                                              |
| 1         | an error nobody foresaw; `--debug` shows where                                    |
| 2         | wrong input: a `NulltextError` of the package, or options that do not make sense  |
| 3         | done, but some of the many asked for failed; the others are there                 |
| 130       | stopped with Ctrl-C; nothing half-written is left                                 |
"""

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand

from nulltext.errors import Cancelled, NulltextError, OutputExistsError

UNEXPECTED, WRONG_INPUT, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130


class Command(TyperCommand):
    """A command whose failures are sentences, not stack traces, unless `--debug` is given."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  typer does not export the context that it passes
        """Runs the command and ends the program with the exit code that fits."""
        with _interrupts() as interrupts:
            try:
                return super().invoke(ctx)
            except (KeyboardInterrupt, Cancelled):
                raise _stopped() from None
            except (typer.Exit, typer.Abort, typer.BadParameter):
                raise
            except Exception as error:
                if interrupts:  # what a library made of it: extension modules turn it into an ImportError
                    raise _stopped() from None
                if ctx.params.get("debug"):
                    raise
                if isinstance(error, NulltextError):
                    message, code = str(error), WRONG_INPUT
                    if isinstance(error, OutputExistsError) and "force" in ctx.params:
                        message += " Here --force asks for that."
                else:
                    message = (
                        f"{type(error).__name__}: {error}. This was not foreseen; --debug shows where it happened."
                    )
                    code = UNEXPECTED
                typer.secho(f"Error: {message}", fg=typer.colors.RED, err=True)
                sys.stderr.flush()
                raise typer.Exit(code) from None


def _stopped() -> typer.Exit:
    typer.echo("Stopped. Nothing half-written was left behind.", err=True)
    return typer.Exit(INTERRUPTED)


@contextmanager
def _interrupts() -> Generator[list[int]]:
    """Every Ctrl-C so far, also one that a library has turned into another exception or swallowed."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield seen
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
