"""In which steps a control acts, for every word."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor

from nulltext.attention.control import Share, steps_of
from nulltext.errors import WordNotFoundError
from nulltext.text.words import Tokens


@final
@dataclass(frozen=True, eq=False)
class WordSteps:
    """The steps in which each token of each target prompt is controlled.

    Attributes:
        table: [T, P - 1, L] whether.
    """

    table: Bool[Tensor, "step prompt token"]

    def any(self, step: int) -> bool:
        """Whether any token is in this step."""
        return bool(self.table[step].any())

    @classmethod
    def of(
        cls, targets: Sequence[Tokens], shares: Sequence[Mapping[str, Share]], *, steps: int, length: int
    ) -> "WordSteps":
        """Looks the words up.

        Args:
            targets: The edited prompts.
            shares: For each of them the shares of steps by word or words, "" for all other tokens; they must be in one
                of the prompts. Where two overlap the one of more words counts, and the later of as many.
            steps: T.
            length: L, the tokens of an embedding.

        Raises:
            WordNotFoundError: A word is in none of the prompts.
        """
        table = torch.zeros(steps, len(targets), length, dtype=torch.bool)
        for prompt, by_word in enumerate(shares):
            for word in sorted(by_word, key=lambda word: (word != "", len(re.findall(r"\w+", word)))):
                tokens = find_in_any(targets, word).get(prompt, []) if word else slice(None)
                table[:, prompt, tokens] = torch.tensor(
                    [step in steps_of(by_word[word], steps) for step in range(steps)]
                )[:, None]
        return cls(table)


def find_in_any(prompts: Sequence[Tokens], word: str) -> dict[int, list[int]]:
    """Where a word stands: the prompts that have it, and the positions of its tokens there.

    Raises:
        WordNotFoundError: None of them has it.
    """
    having: dict[int, list[int]] = {}
    error: WordNotFoundError | None = None
    for index, prompt in enumerate(prompts):
        try:
            having[index] = prompt.find(word)
        except WordNotFoundError as missing:
            error = error or missing
    if not having and error is not None:
        raise error
    return having
