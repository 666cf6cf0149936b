"""The command that was run, spelled out so that it can be run again, also where other defaults hold."""

import shlex
from collections.abc import Sequence
from typing import cast

import typer


def spelled(context: typer.Context) -> str:
    """The command of a context with every option that has a value, quoted for a shell.

    Args:
        context: The context that the command was called in.
    """
    words = ["nulltext", *context.command_path.split()[1:]]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name == "help" or value is None:
            continue
        name = max(parameter.opts, key=len)
        if isinstance(value, bool):
            words += [name] if value else parameter.secondary_opts[:1]
            continue
        given = cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else [value]
        words += [word for each in given for word in (name, str(each))]
    return shlex.join(words)
