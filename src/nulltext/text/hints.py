"""Prompts in the spelling of other programs: they are read as they stand, and that is said."""

import re
import warnings
from collections.abc import Iterable
from typing import Final

from nulltext.errors import shown

_WEIGHTED: Final = re.compile(
    r"\([^()\[\]]+:\s*[-+]?\d*\.?\d+\s*\)"  # (word:1.3)
    r"|\({2,}[^()]+\){2,}"  # ((word))
    r"|\[[^\[\]]*\w[^\[\]]*\]"  # [word]
)


class PromptHint(UserWarning):
    """A prompt may be meant otherwise than it is read."""


def hint_of(prompt: str) -> str:
    """What to say of a prompt with the web UIs' weights, ``(word:1.3)``, ``((word))`` or ``[word]``; "" of others.

    Brackets are text like any other to a tokenizer, and change what a model draws in some way that nobody meant.
    """
    found = _WEIGHTED.search(prompt)
    if found is None:
        return ""
    word = re.sub(r":[^:]*$", "", found[0]).strip("()[] ") or "word"
    return (
        f"the prompt {shown(prompt)} has {shown(found[0])}, which is read as it stands, brackets and all; to give "
        f"words of an edit more or less weight, write them plainly and say --weight {shown(f'{word}=1.3')}, in Python "
        f"PromptToPrompt(reweight={{{shown(word)}: 1.3}})."
    )


def hint(prompts: Iterable[str]) -> None:
    """Warns of prompts that may be meant otherwise."""
    for prompt in prompts:
        if said := hint_of(prompt):
            warnings.warn(said, PromptHint, stacklevel=2)
