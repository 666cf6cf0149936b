"""Forms of the methods, made from the tables and what the classes say of themselves."""

from collections.abc import Mapping
from dataclasses import MISSING
from functools import cache
from typing import Any, Literal, get_args, get_origin

from nulltext.diffusion.table import GUIDANCE
from nulltext.editing.table import EDITOR, EDITORS, MASKS
from nulltext.inversion.table import INVERTERS, METHOD
from nulltext.spelling.fields import Field, fields_of
from nulltext.tables import Table

_KINDS: Mapping[Any, str] = {bool: "switch", int: "whole", float: "number", str: "text"}
_MOST = 1e9
"""A bound beyond this is none to a form."""


@cache
def forms() -> Mapping[str, Any]:
    """Every method of every table, by the word that stands for it."""
    return {
        "inverters": {"default": METHOD, "methods": _table(INVERTERS)},
        "editors": {"default": EDITOR, "methods": _table(EDITORS)},
        "guidance": {"default": next(iter(GUIDANCE)), "methods": _table(GUIDANCE)},
        "masks": {"default": "", "methods": _table(MASKS)},
    }


def _table(table: Table) -> dict[str, Any]:
    return {word: _method(entry.load(), entry.summary) for word, entry in table.items()}


def _method(cls: type[Any], summary: str) -> dict[str, Any]:
    fields = [_field(each) for each in fields_of(cls) if not each.note.local]
    return {"summary": summary, "class": cls.__name__, "fields": [each for each in fields if each is not None]}


def _field(each: Field) -> dict[str, Any] | None:
    """What a form has to know of a setting; None for one that no form can hold, which is given as JSON."""
    choices = [str(one) for one in get_args(each.kind)] if get_origin(each.kind) is Literal else []
    kind = "choice" if choices else _KINDS.get(each.kind)
    if kind is None:
        return None
    default = (
        None if each.default is MISSING or not isinstance(each.default, bool | int | float | str) else each.default
    )
    bounds = {"least": max(each.range.least, each.range.above), "most": min(each.range.most, each.range.below)}
    return {
        "name": each.name, "kind": kind, "about": each.about, "default": default, "optional": each.optional,
        "choices": choices, "recommended": each.recommended,
        **{name: bound if abs(bound) < _MOST else None for name, bound in bounds.items()},
    }  # fmt: skip
