"""Added words: what both prompts say stays where it was."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from nulltext.attention.placed import placed
from nulltext.text.alignment import align
from nulltext.text.words import Tokens
from nulltext.types import PromptProbs

Sections = list[tuple[range, Tokens]]
"""Rows of an embedding, each run with the tokens that it is of."""


@final
@dataclass(frozen=True, eq=False)
class Refine:
    """Hertz et al., section 3.2, "adding a new phrase": ``Edit(M, M*)_j = M_A(j)``, or ``M*_j`` where A(j) is nothing.

    Attributes:
        aligned: [L] the alignment A: the source token of each target token, -1 for a new one.
    """

    aligned: Int[Tensor, " target"]

    def __call__(self, source: PromptProbs, target: PromptProbs) -> PromptProbs:
        """What the target is given in place of its own; see `nulltext.attention.follow.TokenEdit`."""
        aligned = placed(self.aligned, source.device)
        return torch.where(aligned >= 0, source[..., aligned.clamp(min=0)], target)

    @classmethod
    def of(cls, source: Tokens, target: Tokens, length: int) -> "Refine":
        """Aligns two prompts by their tokens.

        Padding answers to padding: to that in the same place, as in the authors' code, unless the target is shorter. In
        its place the source may then have words or the end mark still, which would count for a second time, so the
        first padding answers to the source's first, and so on; the last of it, with none left to answer to, is new.

        Args:
            source: The source prompt.
            target: The edited prompt.
            length: L, the tokens of an embedding.
        """
        aligned: list[int] = []
        for (rows, ours), (_, theirs) in zip(source.sections(length), target.sections(length), strict=True):
            found = [-1 if token is None else rows[token] for token in align(ours.ids, theirs.ids)]
            shift = max(0, len(ours.ids) - len(theirs.ids))
            aligned += [*found, *rows[len(found) + shift :], *[-1] * shift]
        for ours, theirs in zip(source.encoders(length), target.encoders(length), strict=True):
            if len(ours) > 1:
                _align_words(aligned, ours, theirs)
        return cls(torch.tensor(aligned))


def _align_words(aligned: list[int], ours: Sections, theirs: Sections) -> None:
    """Aligns the words of all chunks of an encoder at once: one may have moved from one chunk to the next."""
    sources, targets = (
        [(rows[at], token) for rows, own in each for at, token in enumerate(own.ids) if own.spans[at] is not None]
        for each in (ours, theirs)
    )
    answers = align([token for _, token in sources], [token for _, token in targets])
    for (row, _), answer in zip(targets, answers, strict=True):
        aligned[row] = -1 if answer is None else sources[answer][0]
