"""Styles applied to a finished photo: how it is drawn, not what is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nulltext.scenes.grounds import noise


def apply(pixels: Tensor, styles: Sequence[str], things: Tensor) -> Tensor:
    """Redraw each image in its style.

    Args:
        pixels: [batch, 3, height, width] in [0, 1].
        styles: One style an image.
        things: [batch, 1, height, width] share of every pixel that is a thing, in [0, 1].

    Returns:
        [batch, 3, height, width] in [0, 1].
    """
    result = pixels.clone()
    for style in set(styles) - {"photo"}:
        of = torch.tensor([i for i, s in enumerate(styles) if s == style], device=pixels.device)
        result[of] = _REPAINT[style](pixels[of], things[of]).clamp(0, 1)
    return result


def _blur(pixels: Tensor, radius: int) -> Tensor:
    padded = functional.pad(pixels, (radius,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * radius + 1, stride=1)


def _gray(pixels: Tensor) -> Tensor:
    return pixels[:, :1] * 0.3 + pixels[:, 1:2] * 0.59 + pixels[:, 2:] * 0.11


def _edges(image: Tensor) -> Tensor:
    """Strength of the edges of an image, [batch, 1, h, w]: the length of its gradient over all channels."""
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return (across.square() + down.square()).sum(1, keepdim=True).sqrt()


def _unit(pixels: Tensor) -> int:
    """A stroke's width: one pixel at 128."""
    return max(1, round(min(pixels.shape[-2:]) / 128))


def _paper(pixels: Tensor) -> Tensor:
    """Rows and columns in [0, 1] as a pair of [h, w] planes, stacked [2, h, w]."""
    h, w = pixels.shape[-2:]
    rows = (torch.arange(h, device=pixels.device) + 0.5) / h
    columns = (torch.arange(w, device=pixels.device) + 0.5) / w
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def _watercolor(pixels: Tensor, _things: Tensor) -> Tensor:
    unit = _unit(pixels)
    v, u = _paper(pixels)
    wash = _blur(_blur(pixels, 2 * unit), unit)
    pigment = 1 - (1 - wash) * 0.80
    pigment = pigment * (1 + 0.05 * noise(u * 0.45, v * 0.45))
    pooled = (_edges(_blur(pixels, unit)) * 0.55).clamp(0, 0.35)
    pigment = pigment * (1 - pooled)
    border = torch.minimum(torch.minimum(u, 1 - u), torch.minimum(v, 1 - v)) + 0.018 * noise(u * 0.3 + 0.5, v * 0.3)
    wet = ((border - 0.045) / 0.03).clamp(0, 1)
    return 0.97 + (pigment - 0.97) * wet


def _pencil(pixels: Tensor, _things: Tensor) -> Tensor:
    unit = _unit(pixels)
    gray = _gray(pixels)
    tint = gray + (pixels - gray) * 1.1
    paper = 1 - (1 - tint) * 0.5
    strokes = ((_edges(_blur(pixels, unit)) - 0.06) * 1.9).clamp(0, 0.85)
    return 0.98 * paper * (1 - strokes)


def _cartoon(pixels: Tensor, things: Tensor) -> Tensor:
    unit = _unit(pixels)
    smooth = _blur(_blur(pixels, unit), unit)
    gray = _gray(smooth)
    vivid = (gray + (smooth - gray) * 1.4 - 0.5) * 1.15 + 0.54
    inside = things.clamp(0, 1)
    luma = _gray(pixels)
    crisp = luma + (pixels - luma) * 1.4
    outline = (_edges(_blur(things, unit)) * 2.2).clamp(0, 1)
    return (vivid + (crisp - vivid) * inside) * (1 - 0.95 * outline)


_REPAINT: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "watercolor": _watercolor,
    "pencil drawing": _pencil,
    "cartoon": _cartoon,
}
