"""How much memory values hold, by what is in them."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, cast

from PIL import Image

_WORD = 4
"""Bytes of a pixel of several channels: Pillow keeps three in the room of four."""


def size_of(*values: object) -> int:
    """Bytes that values hold together: pixels, files, texts and what holds them; what is in two places counts once."""
    seen: set[int] = set()
    return sum(_size(value, seen) for value in values)


def _size(value: object, seen: set[int]) -> int:
    if id(value) in seen or value is None:
        return 0
    seen.add(id(value))
    if isinstance(value, Image.Image):
        return value.width * value.height * (1 if value.mode in {"1", "L", "P"} else _WORD)
    return sys.getsizeof(value) + sum(_size(one, seen) for one in _inside(value))


def _inside(value: object) -> Iterable[object]:
    """What a value is made of."""
    if isinstance(value, partial):
        made = cast("partial[Any]", value)
        return made.args, made.keywords
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)
        return *pairs.keys(), *pairs.values()
    if isinstance(value, list | tuple | set | frozenset):
        return cast("Iterable[object]", value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, own.name) for own in fields(value)]
    return ()
