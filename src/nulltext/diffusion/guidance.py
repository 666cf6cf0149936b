"""Classifier-free guidance."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from nulltext.diffusion.sharing import Denoiser
from nulltext.diffusion.steering import AttentionPlan, Steered
from nulltext.types import Embeddings, Latents, Null


def guide(null: Latents, cond: Latents, guidance: float | Tensor) -> Latents:
    """Classifier-free guidance: Ho and Salimans, arXiv 2207.12598, eq. 6, as written in arXiv 2211.09794, section 3.1.

    Since it is linear, and v is linear in epsilon, it holds for both kinds of prediction.

    Args:
        null: [B, C, h, w] the network's output for the null caption.
        cond: The output for the caption, same shape.
        guidance: The weight w. 1 follows the caption alone, 0 ignores it; 7.5 is usual. Or [B, 1, 1, 1], one a row.

    Returns:
        ``null + w * (cond - null)``.
    """
    return null + guidance * (cond - null)


@final
@dataclass(frozen=True, eq=False)
class Guided:
    """A denoiser under captions and a weight.

    Attributes:
        model: What predicts.
        cond: [B, L, D] caption embeddings.
        guidance: The weight w, or [B, 1, 1, 1] a weight for each row.
    """

    model: Denoiser
    cond: Embeddings
    guidance: float | Tensor

    def predict(self, x: Latents, t: int, null: Null, *, attention: Steered | None = None) -> Latents:
        """The guided output, both halves in one pass; at w = 1 the null half has no part and is not computed.

        Args:
            x: [B, C, h, w] latents.
            t: The time the network is told.
            null: [1, L, D] null embedding, the same for the whole batch.
            attention: What is done to the attention, if anything.
        """
        if not isinstance(self.guidance, Tensor) and self.guidance == 1:
            return self.model.predict(x, t, self.cond, _plan(len(x), attention))
        text = torch.cat([null.expand_as(self.cond), self.cond])
        both = self.model.predict(torch.cat([x, x]), t, text, _plan(2 * len(x), attention))
        return guide(both[: len(x)], both[len(x) :], self.guidance)


def _plan(rows: int, attention: Steered | None) -> AttentionPlan:
    return () if attention is None else [(rows, attention)]
