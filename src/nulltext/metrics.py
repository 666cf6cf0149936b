"""Distances between pictures."""

import math

from nulltext.types import Pixels


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in decibels; higher is closer.

    ``10 log10(peak² / mean((a - b)²))`` with peak 2, since pixels lie in [-1, 1].

    Args:
        a: [B, 3, H, W] in [-1, 1], on any device.
        b: The same shape.

    Returns:
        Decibels; infinity for equal pictures.
    """
    # On the CPU, since not every device has double precision (Apple's has none).
    error = (a.cpu().double() - b.cpu().double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(4 / error)
