"""The public names: what `import nulltext` has, each with its docstring, signature and fields."""

import inspect
from typing import Any

import nulltext
from nulltext.editing.table import EDITORS, MASKS
from nulltext.inversion.table import INVERTERS

METHODS = {entry.class_name for table in (INVERTERS, EDITORS, MASKS) for entry in table.values()}
"""Public names with pages of their own."""


def listed() -> str:
    """Functions, then values, then methods."""
    names = [name for name in nulltext.__all__ if not name.startswith("__")]
    functions = [name for name in names if inspect.isfunction(getattr(nulltext, name))]
    values = [name for name in names if name not in {*functions, *METHODS}]
    lines: list[str] = []
    for title, group in (("Functions", functions), ("Values", values), ("Methods", sorted(METHODS))):
        lines += [f"## {title}", *(f"::: {path(name)}" for name in group)]
    return "\n\n".join(lines) + "\n"


def path(name: str) -> str:
    """Where a public name is defined."""
    value: Any = getattr(nulltext, name)
    home: dict[str, str] = vars(nulltext)["_HOMES"]
    return f"{home.get(name) or value.__module__}.{name}"
