"""Self-attention: where things are, and what belongs to them."""

from dataclasses import dataclass
from typing import final

import torch

from nulltext.attention.control import Attention
from nulltext.attention.sites import Site


@final
@dataclass(frozen=True)
class KeepLayout:
    """The source's self-attention in the edits' place, which keeps shapes and places (Hertz et al., section 4).

    Attributes:
        bases: For each target prompt the prompt whose attention it takes.
        steps: For each target in which steps.
        most_tokens: Only at sites up to so many tokens; larger ones hold texture. A network whose maps all have one
            size has no smaller ones, and keeps its layout in these.
    """

    bases: tuple[int, ...]
    steps: tuple[range, ...]
    most_tokens: int

    def wants(self, site: Site, step: int) -> bool:
        """Self-attention of the smaller sites, in those steps."""
        small = site.one_size or site.tokens <= self.most_tokens
        return site.kind == "self" and small and any(step in own for own in self.steps)

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """See `nulltext.attention.control.Control`."""
        probs, whose = attention.probs(), [0]
        for prompt, (base, own) in enumerate(zip(self.bases, self.steps, strict=True), start=1):
            whose.append(whose[base] if step in own else prompt)
        return attention.with_probs(torch.stack([probs[prompt] for prompt in whose]))
