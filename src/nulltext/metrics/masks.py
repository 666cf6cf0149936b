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


def black_elsewhere(pixels: Pixels, mask: Counted) -> Pixels:
    """[B, 3, H, W] images in [-1, 1] with every pixel that does not count set to black."""
    return torch.where(mask.to(pixels.device), pixels, -1.0)
