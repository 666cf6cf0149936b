"""What the surface of a thing looks like: colours, patterns, the colours of its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from nulltext.scenes.grounds import RGB
from nulltext.scenes.placement import PlacedThing
from nulltext.scenes.shapes import LIBRARY
from nulltext.scenes.tracing import Hit

PALETTE: Final[dict[str, RGB]] = {
    "red": (0.86, 0.10, 0.10),
    "orange": (1.00, 0.50, 0.05),
    "yellow": (1.00, 0.88, 0.10),
    "green": (0.10, 0.60, 0.16),
    "cyan": (0.10, 0.82, 0.86),
    "blue": (0.10, 0.22, 0.82),
    "purple": (0.50, 0.12, 0.68),
    "pink": (1.00, 0.50, 0.70),
    "black": (0.07, 0.07, 0.08),
    "white": (0.97, 0.97, 0.97),
}


def albedo(members: Sequence[PlacedThing], hit: Hit) -> tuple[Tensor, Tensor]:
    """Colour of every point found on things of one shape, [n, 3] in [0, 1], and whether it is shiny, [n]."""
    solid = LIBRARY[members[0].thing.shape]
    like = hit.t
    main = torch.tensor([PALETTE[p.thing.color] for p in members], device=like.device)[hit.member]
    second = torch.tensor(
        [PALETTE["black" if p.thing.color == "white" else "white"] for p in members], device=like.device
    )[hit.member]
    x, y, z = hit.local
    nx, ny, nz = hit.local_normal
    flat = ny.abs() > 0.8  # noqa: PLR2004  a top is patterned from above, a side around the axis
    around = torch.where(nz.abs() >= nx.abs(), x, z)
    u, v = torch.where(flat, x, around), torch.where(flat, z, y)
    share = torch.zeros_like(x)
    soft = 14.0
    for name in {p.thing.pattern for p in members} - {"plain"}:
        wears = torch.tensor([float(p.thing.pattern == name) for p in members], device=like.device)[hit.member]
        if name == "striped":
            band = torch.sin(y * (2 * math.pi / 0.38) + 0.6)
            share = share + wears * (0.5 + band * soft / 8).clamp(0, 1)
        elif name == "checkered":
            checks = torch.sin((u + 0.14) * (math.pi / 0.28)) * torch.sin((v + 0.05) * (math.pi / 0.28))
            share = share + wears * (0.5 + checks * soft / 6).clamp(0, 1)
        else:
            row = v / 0.30
            column = u / 0.34 + 0.5 * (row.round() % 2)
            off = ((column - column.round()) * 0.34).square() + ((row - row.round()) * 0.30).square()
            share = share + wears * (0.5 + (0.095 - off.sqrt()) * soft * 2).clamp(0, 1)
    albedo = main + (second - main) * share[:, None]
    if solid.colors:
        part = torch.stack(solid.parts(*hit.local)).argmin(0)
        colors = torch.tensor([(0.0, 0.0, 0.0), *solid.colors], device=like.device)
        albedo = torch.where((part > 0)[:, None], colors[part], albedo)
    shiny = torch.tensor([float(p.thing.finish == "shiny") for p in members], device=like.device)[hit.member]
    return albedo, shiny
