"""What people read and write: command lines, as far as they go without doing anything, and words that are gone."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from nulltext.cli.app import app

ROOT: Any = typer.main.get_command(app)
"""`nulltext`."""
GONE = {
    r"pictures?": "image",
    r"caption[- ]swap|CaptionSwap": "prompt swap",
    r"invert_together|edit_together": "invert_many, edit_many",
    r"OpenLoop|open loop": "parallel null-text",
    r"hold_source": "correct_source",
    r"below_bound|distance to the bound": "gap to VAE",
    r"source caption|target caption|new caption": "source prompt, target prompt",
    r"(?:the|this|a|each) (?:drawn|told|held|lit)(?= (?:is|are|was|of|and|in|one|ones|may)\b|[.,;:)])": "a noun",
    r"drawing again|drawn again from": "reconstruction",
    r"weight of guidance|guidance weight": "guidance scale",
    r"unconditional embedding": "null embedding",
}
"""Words of the old dialect, each with what stands for it now."""


def parse(command: Any, words: list[str], above: Any = None) -> None:
    """Reads a command line as far as it goes without doing anything."""
    context = command.make_context(words[0], words[1:], parent=above)
    if hasattr(command, "commands"):
        name, found, rest = command.resolve_command(context, context._protected_args + context.args)
        parse(found, [name, *rest], context)


def walk(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command, groups included, by the words that ask for it."""
    yield names, command
    for name, each in getattr(command, "commands", {}).items():
        yield from walk(each, *names, name)


def found(text: str) -> list[str]:
    """The words of a text that are gone."""
    return [each[0] for words in GONE for each in re.finditer(rf"\b(?:{words})(?!\w)", text, re.IGNORECASE)]
