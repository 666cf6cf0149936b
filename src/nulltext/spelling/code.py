"""A value of the package as Python code."""

from dataclasses import is_dataclass
from os import PathLike, fspath

from nulltext.spelling.fields import fields_of


def python(value: object) -> str:
    """A call that makes the value, with the settings that are not the defaults.

    Args:
        value: A dataclass among the package's public names, or what its fields hold.
    """
    if isinstance(value, PathLike):
        return repr(fspath(value))
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    given = [
        f"{each.name}={python(at)}"
        for each in fields_of(type(value))
        if (at := getattr(value, each.name)) != each.default
    ]
    return f"nulltext.{type(value).__name__}({', '.join(given)})"
