"""Cross-attention: which words look where. The edits take it from their source, token by token."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from nulltext.attention.schedule import WordSteps
from nulltext.attention.sites import Site
from nulltext.types import Probs, PromptProbs


@runtime_checkable
class TokenEdit(Protocol):
    """What an edit makes of its source's attention: `Replace` or `Refine`."""

    def __call__(self, source: PromptProbs, target: PromptProbs) -> PromptProbs:
        """The attention of the target, from the source's and its own, [heads, queries, keys] each."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Follow:
    """Hertz et al., algorithm 1: the edits follow their source in the steps of the schedule, and go alone after them.

    Attributes:
        edits: What each target makes of its source's attention.
        bases: For each target the prompt that is its source: 0, or a target before it.
        when: In which steps, token by token.
    """

    edits: tuple[TokenEdit, ...]
    bases: tuple[int, ...]
    when: WordSteps

    def wants(self, site: Site, step: int) -> bool:
        """Cross-attention, in the steps of the schedule."""
        return site.kind == "cross" and self.when.any(step)

    def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
        """See `nulltext.attention.control.Control`."""
        now = self.when.table[step].to(probs.device)
        edited = list(probs)
        for prompt, (edit, base) in enumerate(zip(self.edits, self.bases, strict=True), start=1):
            edited[prompt] = torch.where(now[prompt - 1], edit(edited[base], edited[prompt]), edited[prompt])
        return torch.stack(edited)


@final
@dataclass(frozen=True, eq=False)
class Reweight:
    """Hertz et al., section 3.2, "attention re-weighting": ``Edit(M, M*)_j = c M_j`` for the tokens of a word.

    It comes after `Follow` in a chain. As in the authors' code it acts in the steps in which words follow the source.

    Attributes:
        factors: [P - 1, L] the c of every token of every target; 1 where nothing changes.
        when: In which steps, token by token.
    """

    factors: Float[Tensor, "prompt token"]
    when: WordSteps

    def wants(self, site: Site, step: int) -> bool:
        """Cross-attention, in the steps of the schedule."""
        return site.kind == "cross" and self.when.any(step)

    def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
        """See `nulltext.attention.control.Control`."""
        factors = torch.where(self.when.table[step], self.factors, 1.0).to(probs)
        return torch.cat([probs[:1], probs[1:] * factors[:, None, None]])
