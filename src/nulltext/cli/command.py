"""What every command does alike: turns errors into one clear message and an exit code, Ctrl-C into a clean stop.

| exit code | meaning                                                                           |
|-----------|-----------------------------------------------------------------------------------|
| 0         | done                                                                              |
| 1         | an error nobody foresaw; `--debug` shows where                                    |
| 2         | wrong input: a `NulltextError` of the package, or options that do not make sense  |
| 3         | done, but some of the many asked for failed; the others are there                 |
| 130       | stopped with Ctrl-C; nothing half-written is left                                 |
| 143       | stopped by another process (SIGTERM); likewise                                    |
"""

import signal
import sys
import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from nulltext.cli.examples import epilog
from nulltext.cli.given import check_arguments, check_values
from nulltext.cli.terminal import printable, say
from nulltext.errors import Cancelled, NulltextError, OutputExistsError
from nulltext.text.hints import PromptHint

_UsageError: Any = typer.BadParameter.__base__  # for which typer exports no name

UNEXPECTED, WRONG_INPUT, SOME_FAILED, STOPPED = 1, 2, 3, 128
"""The last is added to the number of the signal that stopped the command."""


class Group(TyperGroup):
    """A group of commands whose complaints about options are fit for a terminal, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  typer exports no name for it
        """Reads the options that stand before a command."""
        with _printable_complaints():
            return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  as in `parse_args`
        """Its help, with examples below."""
        self.epilog = epilog(_words(ctx), ())
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  as in `parse_args`
        """Finds the command that was asked for, with the options of the method that its arguments name."""
        name, command, rest = super().resolve_command(ctx, args)
        found: Any = command
        return name, found.with_method(rest) if isinstance(found, Command) else found, rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as in `parse_args`
        """Runs the command that was asked for."""
        with _printable_complaints():
            return super().invoke(ctx)


def _words(ctx: Any) -> list[str]:  # noqa: ANN401  a context, for which typer exports no name
    """The words that ask for a command, without the program's."""
    return [] if ctx.parent is None else [*_words(ctx.parent), ctx.info_name]


@contextmanager
def _printable_complaints() -> Generator[None]:
    try:
        yield
    except _UsageError as complaint:
        complaint.message = printable(complaint.message)
        raise


class Command(TyperCommand):
    """A command whose failures are sentences, not stack traces, unless `--debug` is given."""

    def with_method(self, args: Sequence[str]) -> Any:  # noqa: ANN401  as in `invoke`
        """The command with the options of a method that its arguments ask for; itself, if it has no methods."""
        del args
        return self

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  as in `invoke`
        """Its help, with examples below."""
        self.epilog = epilog(_words(ctx), {option for each in self.params for option in each.opts})
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  as in `invoke`
        """Reads the arguments, once it is sure that they are words."""
        try:
            check_arguments(args, self.params)
        except NulltextError as error:
            raise failed_by(error) from None
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  typer does not export the context that it passes
        """Runs the command and ends the program with the exit code that fits."""
        with _signals() as signals, _hints():
            try:
                check_values(ctx.params, self.params)
                made = super().invoke(ctx)
            except (KeyboardInterrupt, Cancelled):
                raise _stopped(signals) from None
            except (typer.Exit, typer.Abort, typer.BadParameter):
                raise
            except Exception as error:
                if signals:  # what a library made of it: extension modules turn it into an ImportError
                    raise _stopped(signals) from None
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
                raise _failed(message, code) from None
            if signals:  # where Python was tidying up, which swallows exceptions
                raise _stopped(signals)
            return made


def failed_by(error: NulltextError) -> typer.Exit:
    """Says what is wrong with the input; what to raise to end the program."""
    return _failed(str(error), WRONG_INPUT)


def _failed(message: str, code: int) -> typer.Exit:
    typer.secho(f"Error: {printable(message)}", fg=typer.colors.RED, err=True)
    sys.stderr.flush()
    return typer.Exit(code)


def _stopped(signals: Sequence[int]) -> typer.Exit:
    typer.echo("Stopped. Nothing half-written was left behind.", err=True)
    return typer.Exit(STOPPED + (signals[0] if signals else signal.SIGINT))


@contextmanager
def _hints() -> Generator[None]:
    """What the core warns of prompts, as lines for a person."""
    with warnings.catch_warnings():
        usual, said = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:  # noqa: ANN401  Python's own
            if issubclass(category, PromptHint):
                if str(message) not in said:
                    say(f"Hint: {message}")
                said.add(str(message))
            else:
                usual(message, category, *where)

        warnings.showwarning = show
        warnings.simplefilter("default", PromptHint)
        yield


@contextmanager
def _signals() -> Generator[list[int]]:
    """Ctrl-C and SIGTERM as a `KeyboardInterrupt`, so that what is under way is tidied up.

    Yields:
        The numbers of those so far, also of one that a library has turned into another exception or swallowed.
    """
    signals: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if number == signal.SIGTERM:  # a second one must not disturb the tidying
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.default_int_handler(number, frame)

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = {number: handler for number, handler in usual.items() if signal.getsignal(number) is handler}
    if threading.current_thread() is not threading.main_thread():  # which alone may say what signals do
        ours = {}
    try:
        for number in ours:
            signal.signal(number, note)
        yield signals
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
