"""The entry point: `nulltext` and its commands."""

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Annotated

import typer

from nulltext import __version__
from nulltext.cli import batch, bench, demo, edit, families, generate, invert, show, sweep, train, verify, web
from nulltext.cli.command import Command, Group
from nulltext.cli.methods import listed, method_command
from nulltext.cli.spread import spread
from nulltext.cli.terminal import printable
from nulltext.editing.table import EDITOR, EDITORS
from nulltext.inversion.table import INVERTERS, METHOD

app = typer.Typer(
    cls=Group,
    help="Edit real photographs by changing words: null-text inversion for Stable Diffusion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: Mapping[str, tuple[Callable[..., None], type[Command]]] = {
    "demo": (demo.demo, Command),
    "invert": (
        invert.invert,
        method_command(
            invert.invert, INVERTERS, METHOD, option="--method", own={"steps", "guidance", "negative_prompt"}
        ),
    ),
    "edit": (
        edit.edit,
        method_command(edit.edit, EDITORS, EDITOR, option="--editor", own={"guidance", "negative_prompt"}),
    ),
    "sweep": (
        sweep.sweep,
        method_command(sweep.sweep, {EDITOR: EDITORS[EDITOR]}, EDITOR, own=sweep.ONE_PROMPT),
    ),
    "show": (show.show, Command),
    "batch": (batch.batch, Command),
    "generate": (generate.generate, Command),
    "models": (families.models, Command),
    "verify": (verify.verify, Command),
    "web": (web.web, Command),
    "train": (train.train, Command),
}
LISTS = {"invert": listed(INVERTERS, "--method"), "edit": listed(EDITORS, "--editor")}
for name, (function, kind) in COMMANDS.items():
    text = "\n\n".join([inspect.getdoc(function) or "", *([LISTS[name]] if name in LISTS else [])])
    app.command(name, cls=kind, help=text)(spread(function))
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nulltext {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Holds the options that stand before a command."""


def main() -> None:
    """Runs the command line; what the `nulltext` script calls."""
    sys.excepthook = _show_trace
    app()


def _show_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A stack trace, which is for `--debug`, quotes what was given, too."""
    typer.echo(printable("".join(traceback.format_exception(kind, error, trace)), lines=True), err=True, nl=False)
