"""Words made stronger or weaker."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from nulltext.attention.control import Attention
from nulltext.attention.placed import placed
from nulltext.attention.sites import Site
from nulltext.attention.word_steps import WordSteps


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

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        """See `nulltext.attention.control.Control`."""
        probs = attention.probs()
        now = placed(self.when.table, probs.device)[step]
        factors = torch.where(now, placed(self.factors, probs.device, probs.dtype), 1.0)
        return attention.with_probs(torch.cat([probs[:1], probs[1:] * factors[:, None, None]]))
