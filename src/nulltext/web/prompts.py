"""What can be said of a prompt before it is used: words that a model does not know, and what may be meant otherwise."""

import difflib
from dataclasses import asdict, dataclass
from typing import Any, final

from nulltext.models.capabilities import word_list_of
from nulltext.text.hints import hint_of
from nulltext.web.workshop import Workshop

_NEAR = 3
"""So many known words are named for one that is not."""


@final
@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A word that a model was not taught.

    Attributes:
        start: Where it begins, in characters.
        end: Where it ends.
        nearest: Words like it that the model knows.
    """

    start: int
    end: int
    nearest: tuple[str, ...]


def remarks(workshop: Workshop, model: str, prompt: str) -> dict[str, Any]:
    """What is to be said of a prompt, as JSON.

    Raises:
        NulltextError: The model may not be chosen, or the prompt is too long.
    """
    workshop.limits.check_prompt(prompt)
    loaded = workshop.at_hand(model)
    listed = None if loaded is None else word_list_of(loaded)
    unknown: list[Unknown] = []
    for start, end in () if listed is None else listed.unknown(prompt):
        words = sorted(listed.words) if listed is not None else []
        near = difflib.get_close_matches(prompt[start:end].lower(), words, n=_NEAR, cutoff=0.5)
        unknown.append(Unknown(start=start, end=end, nearest=tuple(near)))
    return {"unknown": [asdict(one) for one in unknown], "hint": hint_of(prompt)}
