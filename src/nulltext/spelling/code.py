"""A value of the package as Python code."""

from dataclasses import is_dataclass
from os import PathLike, fspath
from typing import Any, cast

from nulltext.spelling.fields import fields_of


def python(value: object) -> str:
    """A call that makes the value, with the settings that are not the defaults.

    Args:
        value: A dataclass among the package's public names, or what its fields hold.
    """
    if isinstance(value, PathLike):
        return repr(fspath(cast("PathLike[str]", value)))
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    cls = cast("type[Any]", type(value))
    settings = ((each.name, getattr(value, each.name), each.default) for each in fields_of(cls))
    given = [f"{name}={python(at)}" for name, at, default in settings if at != default]
    return f"nulltext.{cls.__name__}({', '.join(given)})"
