"""The entry point: `nulltext` and its commands."""

import sys
import traceback
from types import TracebackType
from typing import Annotated

import typer

from nulltext import __version__
from nulltext.cli import bench, demo, edit, generate, invert, show, sweep, train, web
from nulltext.cli.command import Command, Group
from nulltext.cli.terminal import printable

app = typer.Typer(
    cls=Group,
    help="Edit real photographs by changing words: null-text inversion for Stable Diffusion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, function in {
    "demo": demo.demo,
    "invert": invert.invert,
    "edit": edit.edit,
    "sweep": sweep.sweep,
    "show": show.show,
    "generate": generate.generate,
    "web": web.web,
    "train": train.train,
}.items():
    app.command(name, cls=Command)(function)
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
