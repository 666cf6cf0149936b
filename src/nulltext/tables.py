"""Tables of methods: a row names a class and says in a line what it does, and loads nothing until it is asked to."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

from nulltext.errors import SettingError, shown


@final
@dataclass(frozen=True)
class Entry:
    """A row of a table.

    Attributes:
        path: Where the class is, as "module:Class".
        summary: What it does, in a line.
    """

    path: str
    summary: str

    @property
    def module(self) -> str:
        """The module that defines the class."""
        return self.path.partition(":")[0]

    @property
    def class_name(self) -> str:
        """What the class is called."""
        return self.path.partition(":")[2]

    def load(self) -> type[Any]:
        """The class; this imports its module."""
        found: type[Any] = getattr(import_module(self.module), self.class_name)
        return found


Table = Mapping[str, Entry]
"""Rows by the word that stands for a method on the command line, in the HTTP API and on the page."""


def row(table: Table, word: str, what: str) -> Entry:
    """The row of a method.

    Args:
        table: The table.
        word: The method's word.
        what: What the word stands for where it was given, as "--method".

    Raises:
        SettingError: There is none.
    """
    if word not in table:
        raise SettingError(f"got {what} {shown(word, 40)}; expected {', '.join(table)}.")
    return table[word]


def word_of(table: Table, class_name: str) -> str | None:
    """The word of a class, by the class's name; None if it has no row."""
    return next((word for word, entry in table.items() if entry.class_name == class_name), None)
