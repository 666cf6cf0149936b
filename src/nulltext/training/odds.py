"""Images that are not scenes, so that the autoencoder also carries a photograph.

Dead leaves (shapes of power-law sizes over each other, which share the statistics of photographs: A. Lee, D. Mumford,
J. Huang, 2001), coloured 1/f noise, and smooth gradients.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_LEAVES: Final = 90
_BATCH: Final = 64


def draw(count: int, side: int, seed: int) -> Tensor:
    """Draw images: half dead leaves, a quarter 1/f noise, a quarter gradients.

    Args:
        count: How many.
        side: Pixels.
        seed: Same seed, same images.

    Returns:
        [count, 3, side, side] in [-1, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [leaves(min(_BATCH, count // 2 - start), side, generator) for start in range(0, count // 2, _BATCH)]
    rest = count - count // 2
    parts += [colored_noise(rest // 2, side, generator), gradients(rest - rest // 2, side, generator)]
    samples = torch.cat(parts)
    return samples[torch.randperm(count, generator=generator)].clamp(-1, 1)


def _colors(count: int, generator: torch.Generator) -> Tensor:
    """[count, 3] in [-1, 1]: brightness varies more than hue, as in photographs."""
    brightness = torch.rand(count, 1, generator=generator) * 2 - 1
    return (brightness + 0.45 * torch.randn(count, 3, generator=generator)).clamp(-1, 1)


def leaves(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Dead leaves: discs and rectangles, shaded and textured, with antialiased edges, [count, 3, side, side]."""
    line = (torch.arange(side) + 0.5) / side
    v, u = torch.meshgrid(line, line, indexing="ij")
    image = gradients(count, side, generator)
    texture = colored_noise(count, side, generator)
    for _ in range(_LEAVES):
        x, y, shade_x, shade_y, turn, square, rough = torch.rand(7, count, 1, 1, generator=generator)
        radius = 0.03 / (torch.rand(count, 1, 1, generator=generator) * 0.93 + 0.07)  # density ~ r^-2
        color = _colors(count, generator)[..., None, None]
        du, dv = u - x * 1.2 + 0.1, v - y * 1.2 + 0.1
        angle = turn * 3.14159
        a, b = du * angle.cos() + dv * angle.sin(), dv * angle.cos() - du * angle.sin()
        box = torch.maximum(a.abs(), b.abs() * (1 + 2 * rough)) - radius * 0.8
        disc = (du.square() + dv.square()).sqrt() - radius
        edge = torch.where(square > 0.5, box, disc)  # noqa: PLR2004
        share = (0.5 - edge * side).clamp(0, 1)[:, None]
        shading = ((shade_x - 0.5) * du + (shade_y - 0.5) * dv)[:, None] / radius[:, None] * 0.5
        filled = color + shading + texture * (rough * 0.35)[:, None]
        image = image + (filled - image) * share
    return image


def colored_noise(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Noise of spectrum 1/f^a, a from 1 to 2, its channels correlated, [count, 3, side, side]."""
    frequency = (torch.fft.fftfreq(side)[:, None].square() + torch.fft.rfftfreq(side)[None].square()).sqrt()
    exponent = 1 + torch.rand(count, 1, 1, 1, generator=generator)
    envelope = (frequency + 1 / side) ** -exponent
    white = torch.randn(count, 3, side, side, generator=generator)
    white = white.mean(1, keepdim=True) * 1.6 + 0.5 * white
    colored = torch.fft.irfft2(torch.fft.rfft2(white) * envelope, s=(side, side))
    colored = colored / colored.std(dim=(1, 2, 3), keepdim=True)
    return colored * 0.4 + _colors(count, generator)[..., None, None] * 0.4


def gradients(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Smooth fields: a few random colours interpolated over the image, [count, 3, side, side]."""
    corners = torch.stack([_colors(count, generator) for _ in range(9)], dim=-1).reshape(count, 3, 3, 3)
    return functional.interpolate(corners, size=(side, side), mode="bicubic", align_corners=True)
