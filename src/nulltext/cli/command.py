"""What every command does alike: turns errors into one clear message and an exit code, and Ctrl-C into a clean stop.

| exit code | meaning                                                                           |
|-----------|-----------------------------------------------------------------------------------|
| 0         | done                                                                              |
| 1         | an error nobody foresaw; `--debug` shows where                                    |
| 2         | wrong input: a `NulltextError` of the package, or options that do not make sense  |
| 130       | stopped with Ctrl-C; nothing half-written is left                                 |
"""

import sys
from typing import Any

import typer
from typer.core import TyperCommand

from nulltext.errors import Cancelled, NulltextError, OutputExistsError

UNEXPECTED, WRONG_INPUT, INTERRUPTED = 1, 2, 130


class Command(TyperCommand):
    """A command whose failures are sentences, not stack traces, unless `--debug` is given."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  typer does not export the context that it passes
        """Runs the command and ends the program with the exit code that fits."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Cancelled):
            typer.echo("Stopped. Nothing half-written was left behind.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, NulltextError):
                message, code = str(error), WRONG_INPUT
                if isinstance(error, OutputExistsError) and "force" in ctx.params:
                    message += " Here --force asks for that."
            else:
                message = f"{type(error).__name__}: {error}. This was not foreseen; --debug shows where it happened."
                code = UNEXPECTED
            typer.secho(f"Error: {message}", fg=typer.colors.RED, err=True)
            sys.stderr.flush()
            raise typer.Exit(code) from None
