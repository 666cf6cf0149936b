"""In which steps a control acts, for every word."""

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
        cls, targets: Sequence[Tokens], *, steps: int, length: int, share: Share, words: Mapping[str, Share]
    ) -> "WordSteps":
        """The same share for all tokens but those of some words.

        Args:
            targets: The edited captions.
            steps: T.
            length: L, the tokens of an embedding.
            share: The steps of all other tokens.
            words: Shares of single words; each must be in one of the captions.

        Raises:
            WordNotFoundError: A word is in none of the captions.
        """
        table = torch.zeros(steps, len(targets), length, dtype=torch.bool)
        own = steps_of(share, steps)
        table[own.start : own.stop] = True
        for word, its_share in words.items():
            now = torch.tensor([step in steps_of(its_share, steps) for step in range(steps)])
            for prompt, positions in find_in_any(targets, word).items():
                table[:, prompt, positions] = now[:, None]
        return cls(table)


def find_in_any(captions: Sequence[Tokens], word: str) -> dict[int, list[int]]:
    """Where a word stands: the captions that have it, and the positions of its tokens there.

    Raises:
        WordNotFoundError: None of them has it.
    """
    having: dict[int, list[int]] = {}
    error: WordNotFoundError | None = None
    for index, caption in enumerate(captions):
        try:
            having[index] = caption.find(word)
        except WordNotFoundError as missing:
            error = error or missing
    if not having and error is not None:
        raise error
    return having
