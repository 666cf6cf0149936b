"""Bounds on what people send, whichever way it comes: text is text, numbers are finite, lists are short."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from nulltext.errors import SettingError, shown

MOST_TEXT = 10_000
"""No text is longer, in characters; a prompt's own bound is in the limits."""
MOST_NAME = 255
"""No name of a model, a job or a file is longer, in characters."""
MOST_WORD = 64
"""No word is longer, in characters."""
MOST_WHOLE = 10**9
"""No whole number is further from 0."""
MOST_ENTRIES = 100
"""No list and no table is longer."""
MOST_GUIDANCE = 30.0
"""Far beyond what any model was trained for."""
_JOINERS: Final = "\u200c\u200d"
"""Of the characters that cannot be seen only these belong to words, of Persian or Hindi, and to emoji."""
_SHOWN = 40
"""So much of a value is said back, in characters."""


def quoted(value: object) -> str:
    """A value as a sentence says it back, cut short."""
    return shown(value, _SHOWN)


def check_text(name: str, value: object, most: int = MOST_TEXT) -> None:
    """Refuses what is no text, or too long.

    Raises:
        SettingError: It is.
    """
    if not isinstance(value, str):
        raise SettingError(f"got {quoted(value)} for {name}; expected text.")
    if len(value) > most:
        raise SettingError(f"got {len(value)} characters for {name}; expected at most {most}. Say it shorter.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SettingError(f"got half of a character in {name} (a lone surrogate); expected text.") from error


def plain_name(name: str) -> str:
    """A name in one line, without control characters and without what turns the direction of writing."""
    kept = (
        " " if one.isspace() else one
        for one in unicodedata.normalize("NFC", name)
        if one.isspace() or one in _JOINERS or unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
    )
    return " ".join("".join(kept).split())


def check_number(name: str, value: object, low: float, high: float, *, above: bool = False, hint: str = "") -> None:
    """Refuses what is no number, not finite or out of bounds.

    Args:
        name: What it is, for the sentence.
        value: What was given.
        low: The least.
        high: The most.
        above: Whether it has to be more than the least.
        hint: What else to say.

    Raises:
        SettingError: It is.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or not low <= number <= high or (above and number == low):
        given = f"{value:g}" if isinstance(value, float) else quoted(value)
        least = f"more than {low:g}, up to" if above else f"{low:g} to"
        raise SettingError(f"got {given} for {name}; expected {least} {high:g}.{hint}")


def check_guidance(value: object, name: str = "the guidance") -> None:
    """Refuses a guidance scale that no model was trained for.

    Raises:
        SettingError: It is one.
    """
    check_number(name, value, 0, MOST_GUIDANCE, above=True, hint=" 4 to 8 are usual.")


def check_whole(name: str, value: object) -> None:
    """Refuses what is no whole number of a few digits.

    Raises:
        SettingError: It is.
    """
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_WHOLE:
        raise SettingError(f"got {quoted(value)} {name}; expected a whole number.")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuses what is none of the choices.

    Raises:
        SettingError: It is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise SettingError(f"got {quoted(value)} for {name}; expected {', '.join(map(repr, choices))}.")


def check_words(name: str, value: object) -> None:
    """Refuses what is no short list of words, or no short table by word.

    Raises:
        SettingError: It is not.
    """
    if not isinstance(value, list | tuple | Mapping):
        raise SettingError(f"got {quoted(value)} for {name}; expected a list of words.")
    words = list(cast("Iterable[object]", value))
    if len(words) > MOST_ENTRIES:
        raise SettingError(f"got {len(words)} {name}; expected at most {MOST_ENTRIES}.")
    for word in words:
        check_text(f"one of the {name}", word, MOST_WORD)
        if isinstance(word, str) and not word.strip():
            raise SettingError(f"got {quoted(word)} as one of the {name}; expected a word. Leave it out.")
