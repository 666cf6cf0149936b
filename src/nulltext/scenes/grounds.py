"""Colours of the ground and the sky: everything in an image that is not a thing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

RGB: TypeAlias = tuple[float, float, float]


class Light(NamedTuple):
    """What a time of day or a weather does to an image; colours are display RGB in [0, 1].

    Attributes:
        zenith: Sky at the top of the image.
        horizon: Sky at the horizon; far ground fades into it.
        sun: Colour of the directional light.
        ambient: Colour of the light from everywhere.
        elevation: Height of the light, radians.
        haze: How fast distance fades into the horizon, per scene unit.
        shadow: Darkness of cast shadows, 0 (none) to 1.
        disc: Colour of the disc in the sky (sun or moon), or None.
        stars: Whether there are stars.
        clouds: Strength of the clouds, 0 to 1.
    """

    zenith: RGB
    horizon: RGB
    sun: RGB
    ambient: RGB
    elevation: float
    haze: float
    shadow: float
    disc: RGB | None = None
    stars: bool = False
    clouds: float = 0.0


LIGHTS: Final[dict[str, Light]] = {
    "sunny": Light(
        zenith=(0.22, 0.5, 0.92),
        horizon=(0.72, 0.87, 1.0),
        sun=(0.62, 0.6, 0.54),
        ambient=(0.5, 0.52, 0.56),
        elevation=0.85,
        haze=0.02,
        shadow=0.75,
        clouds=0.8,
    ),
    "sunset": Light(
        zenith=(0.42, 0.22, 0.48),
        horizon=(1.0, 0.58, 0.22),
        sun=(0.66, 0.46, 0.3),
        ambient=(0.46, 0.4, 0.42),
        elevation=0.5,
        haze=0.03,
        shadow=0.7,
        disc=(1.0, 0.9, 0.55),
    ),
    "night": Light(
        zenith=(0.02, 0.03, 0.12),
        horizon=(0.1, 0.13, 0.3),
        sun=(0.44, 0.47, 0.56),
        ambient=(0.25, 0.28, 0.4),
        elevation=0.8,
        haze=0.02,
        shadow=0.6,
        disc=(0.92, 0.93, 0.85),
        stars=True,
    ),
    "foggy": Light(
        zenith=(0.74, 0.77, 0.79),
        horizon=(0.8, 0.82, 0.83),
        sun=(0.1, 0.1, 0.1),
        ambient=(0.72, 0.73, 0.74),
        elevation=1.2,
        haze=0.085,
        shadow=0.2,
    ),
    "dawn": Light(
        zenith=(0.55, 0.66, 0.92),
        horizon=(1.0, 0.78, 0.82),
        sun=(0.56, 0.44, 0.46),
        ambient=(0.52, 0.48, 0.54),
        elevation=0.55,
        haze=0.03,
        shadow=0.7,
        disc=(1.0, 0.95, 0.9),
    ),
}


def color(rgb: RGB, like: Tensor) -> Tensor:
    """An RGB triple as a [3] tensor on the device of `like`."""
    return torch.tensor(rgb, device=like.device, dtype=like.dtype)


@functools.cache
def _noise_table(device: str) -> Tensor:
    """Tileable smooth noise with a border, [1, 1, 258, 258], mean 0, standard deviation 1: three octaves."""
    generator = torch.Generator().manual_seed(7)
    total = torch.zeros(1, 1, 256, 256)
    for cells, weight in ((16, 1.0), (32, 0.5), (64, 0.25)):
        lattice = torch.randn(1, 1, cells, cells, generator=generator)
        wrapped = functional.pad(lattice, (2, 2, 2, 2), mode="circular")
        scale = 256 // cells
        smooth = functional.interpolate(wrapped, scale_factor=scale, mode="bicubic", align_corners=False)
        total += weight * smooth[..., 2 * scale : -2 * scale, 2 * scale : -2 * scale]
    total = (total - total.mean()) / total.std()
    return functional.pad(total, (1, 1, 1, 1), mode="circular").to(device)


def noise(u: Tensor, v: Tensor) -> Tensor:
    """Smooth noise, period 1 in both arguments, mean 0, standard deviation 1; any shape."""
    table = _noise_table(str(u.device))
    grid = torch.stack([(u % 1.0), (v % 1.0)], dim=-1).reshape(1, 1, -1, 2)
    grid = ((grid * 256 + 1) / 258) * 2 - 1
    return functional.grid_sample(table, grid, mode="bilinear", align_corners=False).reshape(u.shape)


def _mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return a + (b - a) * share[..., None]


def _line(coordinate: Tensor, width: float, blur: Tensor) -> Tensor:
    """1 on the joints at whole numbers, `width` wide, 0 off them; `blur` is the size of a pixel in the same units."""
    off = (coordinate - coordinate.round()).abs()
    inside = ((width / 2 + blur / 2 - off) / blur.clamp(min=1e-4)).clamp(0, 1)
    return inside * (width / (width + blur)).clamp(0, 1)  # a joint thinner than a pixel is faint, not flickering


def _cell(u: Tensor, v: Tensor, amount: float) -> Tensor:
    """A fixed brightness for every cell of a lattice."""
    return 1 + amount * torch.sin(u.floor() * 12.9898 + v.floor() * 78.233).mul(43.7585).sin()


def _soft(x: Tensor, z: Tensor, dark: RGB, light: RGB, scale: tuple[float, float]) -> Tensor:
    share = (0.5 + 0.28 * noise(x * scale[0], z * scale[1])).clamp(0, 1)
    return _mix(color(dark, x), color(light, x), share)


def _grass(x: Tensor, z: Tensor, _pixel: Tensor) -> Tensor:
    return _soft(x, z, (0.16, 0.42, 0.10), (0.38, 0.66, 0.20), (0.35, 0.2))


def _sand(x: Tensor, z: Tensor, _pixel: Tensor) -> Tensor:
    ripple = 0.035 * torch.sin(z * 7 + 1.2 * noise(x * 0.1, z * 0.1))
    return _soft(x, z, (0.84, 0.70, 0.45), (0.94, 0.82, 0.58), (0.12, 0.12)) + ripple[..., None]


def _snow(x: Tensor, z: Tensor, _pixel: Tensor) -> Tensor:
    return _soft(x, z, (0.86, 0.90, 0.97), (0.99, 1.0, 1.0), (0.10, 0.10))


def _wood(x: Tensor, z: Tensor, pixel: Tensor) -> Tensor:
    plank = x / 0.6
    grain = _soft(x, z, (0.50, 0.31, 0.16), (0.68, 0.45, 0.25), (0.6, 0.04)) * _cell(plank, plank, 0.10)[..., None]
    return grain * (1 - 0.6 * _line(plank, 0.05, pixel / 0.6))[..., None]


def _brick(x: Tensor, z: Tensor, pixel: Tensor) -> Tensor:
    row = z / 0.42
    along = x / 0.84 + 0.5 * (row.floor() % 2)
    body = color((0.66, 0.26, 0.18), x) * _cell(along, row, 0.10)[..., None]
    mortar = torch.maximum(_line(row, 0.12, pixel * 2 / 0.42), _line(along, 0.06, pixel / 0.84))
    return _mix(body, color((0.80, 0.74, 0.68), x), mortar)


def _water(x: Tensor, z: Tensor, _pixel: Tensor) -> Tensor:
    wave = noise(x * 0.10, z * 0.30)
    return _mix(color((0.03, 0.26, 0.46), x), color((0.30, 0.62, 0.80), x), (0.42 + 0.25 * wave).clamp(0, 1))


def _tiles(x: Tensor, z: Tensor, pixel: Tensor) -> Tensor:
    u, v = x / 0.9, z / 0.9
    odd = (torch.sin(torch.pi * u) * torch.sin(torch.pi * v) / (pixel * 3).clamp(min=1e-3)).clamp(-1, 1)
    return _mix(color((0.58, 0.68, 0.66), x), color((0.93, 0.92, 0.86), x), 0.5 + 0.5 * odd)


def _asphalt(x: Tensor, z: Tensor, pixel: Tensor) -> Tensor:
    body = _soft(x, z, (0.24, 0.24, 0.26), (0.33, 0.33, 0.35), (0.3, 0.3))
    return _mix(body, color((0.90, 0.80, 0.30), x), _line(x / 2.6 + 0.5, 0.06, pixel / 2.6))


GROUND_COLORS: Final[dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "grass": _grass,
    "sand": _sand,
    "snow": _snow,
    "wood": _wood,
    "brick": _brick,
    "water": _water,
    "tiles": _tiles,
    "asphalt": _asphalt,
}


def sky(light: Light, dx: Tensor, dy: Tensor, dz: Tensor, sun_side: Tensor) -> Tensor:
    """Colour of the sky along directions.

    Args:
        light: The time or weather.
        dx: [..., n] unit directions, to the right.
        dy: [..., n] upwards.
        dz: [..., n] towards the viewer (negative is ahead).
        sun_side: [..., 1] -1 where the disc stands left, 1 right.

    Returns:
        [..., n, 3] RGB in [0, 1].
    """
    up = (dy / 0.42).clamp(0, 1).sqrt()
    result = _mix(color(light.horizon, dx), color(light.zenith, dx), up)
    if light.clouds:
        high = dy.clamp(min=0.03)
        cover = noise(0.5 + 0.16 * dx / (high + 0.12) + 0.3 * sun_side, -0.10 * dz / (high + 0.12))
        cover = ((cover - 0.1) * 0.6).clamp(0, 1) * (dy * 9).clamp(0, 1) * light.clouds
        result = _mix(result, torch.ones_like(result), cover)
    if light.disc is not None:
        toward = (sun_side * 0.22, 0.12)
        off = ((dx - toward[0]).square() + (dy - toward[1]).square()).sqrt()
        ahead = (dz < 0).to(dx.dtype)
        disc = color(light.disc, dx)
        result = _mix(result, disc, 0.35 * torch.exp(-off * 9) * ahead)
        result = _mix(result, disc, ((0.052 - off) / 0.012 + 0.5).clamp(0, 1) * ahead)
    if light.stars:
        generator = torch.Generator().manual_seed(11)
        for sx, sy, size in torch.rand(14, 3, generator=generator):
            off2 = (dx - (float(sx) - 0.5) * 0.66).square() + (dy - 0.06 - float(sy) * 0.3).square()
            result = (
                result + (0.75 * torch.exp(-off2 / (0.00003 + 0.00004 * float(size))))[..., None] * (dz < 0)[..., None]
            )
    return result.clamp(0, 1)
