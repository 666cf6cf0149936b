"""What stands in a stranger's record, read one value at a time: each is of its type and in its range, or an error."""

import math
import re
from typing import Any, cast

from nulltext.errors import SettingError

LONGEST = 10_000
"""Characters in a prompt, or in any other text."""
SHOWN = 80
"""Characters of what is wrong in a sentence that says so."""


def read_entries(value: object, what: str, names: tuple[str, ...]) -> dict[str, Any]:
    """A JSON object with these names and no others.

    Raises:
        SettingError: It is none; so it is for all that follow.
    """
    shown = quoted(value)
    if not isinstance(value, dict) or value.keys() != set(names):
        raise SettingError(f"its {what} is {shown}; expected {' and '.join(names)}, no more and no less")
    return cast("dict[str, Any]", value)


def read_text(value: object, what: str, *, least: int = 1) -> str:
    """A text that is not too long, with whole characters."""
    if not isinstance(value, str) or not least <= len(value.strip()) <= len(value) <= LONGEST:
        raise SettingError(f"its {what} is {quoted(value)}; expected a text of {least} to {LONGEST} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise SettingError(f"its {what} is {quoted(value)}, with half a character in it; expected a text")
    return value


def read_match(value: object, what: str, pattern: str) -> str:
    """A text of one form."""
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise SettingError(f"its {what} is {quoted(value)}, which is none")
    return value


def read_choice(value: object, what: str, choices: tuple[str, ...]) -> Any:  # noqa: ANN401  a literal of the caller's
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise SettingError(f"its {what} is {quoted(value)}; expected {', '.join(choices)}")
    return value


def read_number(value: object, what: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"its {what} is {quoted(value)}; expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not least <= number <= most:
        bounds = f" from {least:g} to {most:g}" if math.isfinite(least) else ""
        raise SettingError(f"its {what} is {quoted(value)}; expected a finite number{bounds}")
    return number


def read_whole(value: object, what: str, *, least: int, most: int) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingError(f"its {what} is {quoted(value)}; expected a whole number from {least} to {most}")
    return value


def quoted(value: object) -> str:
    """A value as it may stand in a sentence."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
