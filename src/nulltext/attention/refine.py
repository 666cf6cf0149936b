"""Added words: what both prompts say stays where it was."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from nulltext.text.alignment import align
from nulltext.text.words import Tokens
from nulltext.types import PromptProbs


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
        aligned = self.aligned.to(source.device)
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
        return cls(torch.tensor(aligned))
