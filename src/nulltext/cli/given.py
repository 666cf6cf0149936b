"""What was given on the command line, checked before anything is loaded: the same for every command and option."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from nulltext.errors import SettingError, shown

LONGEST = 100_000
"""Of one argument, in characters; systems take little more."""

_BITS = 63


class Parameter(Protocol):
    """What has to be known of an option or an argument; typer does not export its own class."""

    opts: list[str]
    secondary_opts: list[str]
    nargs: int

    @property
    def name(self) -> str | None:
        """What its value is called."""


def check_arguments(arguments: Sequence[str], parameters: Iterable[Parameter]) -> None:
    """Makes sure of the words of a command line, before they are read.

    Args:
        arguments: All after the command's name.
        parameters: The options and arguments that the command has.

    Raises:
        SettingError: One is no text or far too long, is empty where an option wants something, or is a file's name that
            reads as an option.
    """
    options = {name: parameter for parameter in parameters for name in [*parameter.opts, *parameter.secondary_opts]}
    before: str | None = None  # the option that the next word belongs to
    for at, word in enumerate(arguments):
        _check_text(word)
        if word == "--":
            for rest in arguments[at:]:
                _check_text(rest)
            return
        name, equals, value = word.partition("=")
        if (not word and before is not None) or (equals and not value and name in options):
            raise SettingError(
                f"got {before or name} with nothing after it; expected a value. Leave it out, or give one."
            )
        if before is None and _reads_as_option(word, options):
            raise SettingError(
                f"got {shown(word)}, which begins with a dash and so reads as an option; if it is the name of a file, "
                f"write {shown(f'./{word}')}, or put -- before the first name."
            )
        wants = not equals and word in options and not getattr(options[word], "is_flag", False)
        before = word if wants and before is None else None


def check_values(values: Mapping[str, object], parameters: Iterable[Parameter]) -> None:
    """Makes sure of the numbers of a command, when they are read: an option need not say that it wants a finite one.

    Args:
        values: What was read, by the parameters' names.
        parameters: The options and arguments that the command has.

    Raises:
        SettingError: One is not-a-number, infinite, or has more bits than any whole number here.
    """
    options = {parameter.name: max(parameter.opts, key=len) for parameter in parameters}
    for name, value in values.items():
        for each in cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value]:
            if isinstance(each, float) and not math.isfinite(each):
                raise SettingError(f"got {options[name]} {each:g}; expected a finite number.")
            if isinstance(each, int) and each.bit_length() > _BITS:
                raise SettingError(f"got {options[name]} {shown(each)}; expected a smaller number.")


def _check_text(word: str) -> None:
    if len(word) > LONGEST:
        raise SettingError(f"got {shown(word)} of {len(word)} characters; expected at most {LONGEST}. Shorten it.")
    if "\0" in word:
        raise SettingError(f"got {shown(word)}, which has a NUL in it; no name and no prompt has one. Leave it out.")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise SettingError(
            f"got {shown(word)}, which is not UTF-8; expected text. Rename the file, or write the word again."
        ) from None


def _reads_as_option(word: str, options: Mapping[str, Parameter]) -> bool:
    """Whether a word that is meant for a file's name would be taken for options."""
    if not word.startswith("-") or word == "-" or word.partition("=")[0] in options:
        return False
    known = word[:2] in options  # -m and what it is given, in one word
    return os.path.lexists(word) or (not known and bool(Path(word).suffix))
