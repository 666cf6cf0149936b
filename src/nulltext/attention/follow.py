"""Cross-attention: which words look where. The edits take it from their source, token by token."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch

from nulltext.attention.control import Attention
from nulltext.attention.placed import placed
from nulltext.attention.sites import Site
from nulltext.attention.word_steps import WordSteps
from nulltext.types import PromptProbs


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

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """See `nulltext.attention.control.Control`."""
        probs = attention.probs()
        now = placed(self.when.table, probs.device)[step]
        edited = list(probs)
        for prompt, (edit, base) in enumerate(zip(self.edits, self.bases, strict=True), start=1):
            edited[prompt] = torch.where(now[prompt - 1], edit(edited[base], edited[prompt]), edited[prompt])
        return attention.with_probs(torch.stack(edited))
