"""Signed distance functions of the twelve shapes.

Each shape is a function of local coordinates (x right, y up from its foot, z towards the camera; about 1.3 units tall)
that returns one distance per part. Part 0 carries the thing's colour and pattern; the others have colours of their own.
The distance to the shape is the smallest of its parts. Formulas: I. Quilez, "3D SDFs".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor

Parts: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
RGB: TypeAlias = tuple[float, float, float]

BROWN: Final[RGB] = (0.36, 0.22, 0.12)
CREAM: Final[RGB] = (0.93, 0.88, 0.78)
CHARCOAL: Final[RGB] = (0.10, 0.10, 0.12)
CARROT: Final[RGB] = (0.95, 0.45, 0.08)
GLASS: Final[RGB] = (0.55, 0.75, 0.88)
SLATE: Final[RGB] = (0.30, 0.24, 0.26)


class Shape(NamedTuple):
    """A shape: its parts, the colours of all parts but the first, and the sphere that holds it.

    Attributes:
        parts: Distances of a point to each part.
        colors: RGB in [0, 1] of parts 1, 2, ...
        middle: Height of the bounding sphere's centre, local units.
        radius: Radius of the bounding sphere, local units.
    """

    parts: Parts
    colors: tuple[RGB, ...]
    middle: float
    radius: float


def _length(*axes: Tensor) -> Tensor:
    total = axes[0] * axes[0]
    for axis in axes[1:]:
        total = total + axis * axis
    return total.sqrt()


def _sphere(x: Tensor, y: Tensor, z: Tensor, radius: float) -> Tensor:
    return _length(x, y, z) - radius


def _from_axes(a: Tensor, b: Tensor) -> Tensor:
    """Distance of an extrusion: a is the profile's distance, b the distance beyond its half length."""
    return torch.maximum(a, b).clamp(max=0) + _length(a.clamp(min=0), b.clamp(min=0))


def _box(x: Tensor, y: Tensor, z: Tensor, half: tuple[float, float, float], rounding: float = 0.03) -> Tensor:
    qx, qy, qz = (axis.abs() - (h - rounding) for axis, h in zip((x, y, z), half, strict=True))
    outside = _length(qx.clamp(min=0), qy.clamp(min=0), qz.clamp(min=0))
    return outside + torch.maximum(qx, torch.maximum(qy, qz)).clamp(max=0) - rounding


def _cylinder(radial: Tensor, along: Tensor, radius: float, half: float, rounding: float = 0.02) -> Tensor:
    return _from_axes(radial - (radius - rounding), along.abs() - (half - rounding)) - rounding


def _cone(x: Tensor, y: Tensor, z: Tensor, radius: float, height: float) -> Tensor:
    slope = math.hypot(radius, height)
    side = (_length(x, z) * height + (y - height) * radius) / slope
    return torch.maximum(side, -y)


def _ball(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_sphere(x, y - 0.62, z, 0.62),)


def _cube(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_box(x, y - 0.52, z, (0.52, 0.52, 0.52)),)


def _pillar(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_cylinder(_length(x, z), y - 0.6, 0.5, 0.6),)


def _spire(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_cone(x, y, z, 0.68, 1.35),)


def _ring(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (_length(_length(x, y - 0.68) - 0.47, z) - 0.2,)


def _star(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    outer, inner, points = 0.78, 0.36, 5
    px, py = x, y - 0.66
    # Fold the plane into one tenth of the star, then measure to the edge from its tip to its notch.
    wedge = 2 * math.pi / points
    angle = torch.atan2(px, py)
    folded = (angle - wedge * torch.round(angle / wedge)).abs()
    r = _length(px, py)
    fx, fy = r * folded.sin(), r * folded.cos()
    notch = (inner * math.sin(wedge / 2), inner * math.cos(wedge / 2))
    ex, ey = notch[0], notch[1] - outer
    profile = (fx * -ey + (fy - outer) * ex) / math.hypot(ex, ey)
    return (_from_axes(profile + 0.02, z.abs() - 0.18) - 0.02,)


def _mug(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    radial = _length(x, z)
    wall = torch.maximum(_cylinder(radial, y - 0.52, 0.5, 0.52), -_cylinder(radial, y - 0.72, 0.41, 0.6))
    handle = _length(_length(x - 0.52, y - 0.54) - 0.27, z) - 0.075
    coffee = _cylinder(radial, y - 0.45, 0.44, 0.4)
    return (torch.minimum(wall, torch.maximum(handle, 0.42 - radial)), coffee)


def _house(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    walls = _box(x, y - 0.4, z, (0.58, 0.4, 0.46), 0.01)
    gable = torch.maximum((x.abs() * 0.75 + (y - 1.28) * 1.0) / 1.25, 0.76 - y)
    roof = torch.maximum(gable, z.abs() - 0.55)
    door = _box(x + 0.18, y - 0.26, z - 0.46, (0.13, 0.26, 0.02), 0.005)
    window = _box(x - 0.24, y - 0.44, z - 0.46, (0.14, 0.13, 0.02), 0.005)
    return (walls, roof, door, window)


def _tree(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    crown = _sphere(x, y - 0.98, z, 0.44)
    for cx, cy, cz, r in ((-0.33, 0.76, 0.05, 0.33), (0.33, 0.78, 0.0, 0.33), (0.02, 0.72, 0.28, 0.3)):
        lobe = _sphere(x - cx, y - cy, z - cz, r)
        mix = (0.5 + 0.5 * (lobe - crown) / 0.1).clamp(0, 1)  # smooth union
        crown = lobe + (crown - lobe) * mix - 0.1 * mix * (1 - mix)
    return (crown, _cylinder(_length(x, z), y - 0.3, 0.13, 0.32))


def _mushroom(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    squash = 0.78
    cap = torch.maximum(_sphere(x, (y - 0.52) / squash, z, 0.7) * squash, 0.52 - y)
    stem = _cylinder(_length(x, z), y - 0.3, 0.21, 0.32, 0.05)
    return (cap, stem)


def _snowman(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    body = torch.minimum(_sphere(x, y - 0.42, z, 0.46), _sphere(x, y - 1.0, z, 0.32))
    head = _sphere(x, y - 1.42, z, 0.23)
    eyes = _sphere(x.abs() - 0.09, y - 1.48, z - 0.2, 0.042)
    hat = torch.minimum(
        _cylinder(_length(x, z), y - 1.6, 0.26, 0.025, 0.01), _cylinder(_length(x, z), y - 1.71, 0.16, 0.12)
    )
    nose = _sphere(x, y - 1.39, (z - 0.27) * 0.6, 0.055)
    return (torch.minimum(body, head), torch.minimum(eyes, hat), nose)


def _car(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    hull = _box(x, y - 0.42, z, (0.86, 0.22, 0.4), 0.1)
    roof = _box(x + 0.06, y - 0.94, z, (0.44, 0.05, 0.33), 0.04)
    cabin = _box(x + 0.06, y - 0.74, z, (0.5, 0.2, 0.34), 0.08)
    wheels = _cylinder(_length(x.abs() - 0.48, y - 0.23), z.abs() - 0.36, 0.23, 0.09)
    hubs = _cylinder(_length(x.abs() - 0.48, y - 0.23), z.abs() - 0.4, 0.1, 0.06)
    return (torch.minimum(hull, roof), cabin, wheels, hubs)


LIBRARY: Final[dict[str, Shape]] = {
    "ball": Shape(_ball, (), 0.62, 0.64),
    "cube": Shape(_cube, (), 0.52, 0.92),
    "cylinder": Shape(_pillar, (), 0.6, 0.8),
    "cone": Shape(_spire, (), 0.55, 0.9),
    "ring": Shape(_ring, (), 0.68, 0.7),
    "star": Shape(_star, (), 0.66, 0.84),
    "mug": Shape(_mug, (BROWN,), 0.54, 0.94),
    "house": Shape(_house, (SLATE, BROWN, GLASS), 0.62, 1.0),
    "tree": Shape(_tree, (BROWN,), 0.72, 0.82),
    "mushroom": Shape(_mushroom, (CREAM,), 0.55, 0.78),
    "snowman": Shape(_snowman, (CHARCOAL, CARROT), 0.9, 0.98),
    "car": Shape(_car, (GLASS, CHARCOAL, CREAM), 0.5, 1.05),
}


def distance(shape: Shape, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Distance of points to a shape's surface, negative inside.

    Args:
        shape: An entry of `LIBRARY`.
        x: [n] local coordinate to the right.
        y: [n] local coordinate upwards.
        z: [n] local coordinate towards the camera.

    Returns:
        [n] distances, local units.
    """
    nearest, *rest = shape.parts(x, y, z)
    for part in rest:
        nearest = torch.minimum(nearest, part)
    return nearest
