"""Classifier-free guidance."""

from nulltext.types import Latents


def guide(null: Latents, cond: Latents, guidance: float) -> Latents:
    """Classifier-free guidance: Ho and Salimans, arXiv 2207.12598, eq. 6, as written in arXiv 2211.09794, eq. 4.

    Since the guidance is linear and so are both predictions, it holds for v as for epsilon.

    Args:
        null: [B, C, h, w] the network's output for the null caption.
        cond: The output for the caption, same shape.
        guidance: The weight w. 1 follows the caption alone, 0 ignores it; 7.5 is usual.

    Returns:
        ``null + w * (cond - null)``.
    """
    return null + guidance * (cond - null)
