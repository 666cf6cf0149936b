"""Which pixels of an image count."""

from typing import Final

import torch
from jaxtyping import Bool
from torch import Tensor

from nulltext.metrics.missing import Missing
from nulltext.types import Pixels

Counted = Bool[Tensor, "height width"]
"""[H, W] true for the pixels that count."""

NO_PIXEL: Final = Missing("the mask is empty: no pixel counts. Leave the mask out to measure the whole image.")


NOTHING_MASKED: Final = Missing("both masks are empty, so that there is nothing to agree about.")


def intersection_over_union(a: Counted, b: Counted) -> float | Missing:
    """How far two masks agree: the pixels of both over the pixels of either; also called the Jaccard index.

    Args:
        a: [H, W] of bool.
        b: The same shape.

    Returns:
        0 of masks that share nothing to 1 of equal ones; missing if both are empty.
    """
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else NOTHING_MASKED


def black_elsewhere(pixels: Pixels, mask: Counted) -> Pixels:
    """[B, 3, H, W] images in [-1, 1] with every pixel that does not count set to black."""
    return torch.where(mask.to(pixels.device), pixels, -1.0)
