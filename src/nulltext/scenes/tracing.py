"""Sphere tracing: where the camera's rays meet the things, and how much light reaches a point.

J. C. Hart, "Sphere tracing", The Visual Computer, 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from nulltext.scenes.placement import Frames, PlacedThing
from nulltext.scenes.shapes import LIBRARY, Shape, distance

FAR: Final = 1e4
MARCH_STEPS: Final = 26
SHADOW_STEPS: Final = 12
SHADOW_SOFTNESS: Final = 9.0


class Rays(NamedTuple):
    """Rays in scene coordinates, every member [n]; directions have unit length."""

    ox: Tensor
    oy: Tensor
    oz: Tensor
    dx: Tensor
    dy: Tensor
    dz: Tensor

    def take(self, index: Tensor) -> Rays:
        """Some of the rays."""
        return Rays(*(member[index] for member in self))


class Hit(NamedTuple):
    """What the camera's rays found on the things of one shape; every member [n]."""

    member: Tensor
    pixel: Tensor
    t: Tensor
    cover: Tensor
    point: tuple[Tensor, Tensor, Tensor]
    local: tuple[Tensor, Tensor, Tensor]
    normal: tuple[Tensor, Tensor, Tensor]
    local_normal: tuple[Tensor, Tensor, Tensor]


def march(
    shape: str,
    members: Sequence[PlacedThing],
    eye: tuple[float, Tensor, float],
    view: tuple[Tensor, Tensor, Tensor],
    pixel_angle: float,
) -> Hit:
    """Sphere tracing of the camera's rays against all things of one shape, in their local coordinates.

    Args:
        shape: Which shape.
        members: The things of that shape.
        eye: Where the cameras are: x, heights [b, 1], z.
        view: Unit directions of the rays, three of [b, n].
        pixel_angle: Angle of one pixel, radians; a ray that passes by within it covers part of the pixel.

    Returns:
        The points found.
    """
    solid, frames = LIBRARY[shape], Frames.of(members, eye[1])
    owner = torch.tensor([p.scene for p in members], device=eye[1].device)
    every = torch.arange(len(members), device=owner.device)
    height = eye[1][owner, 0]
    start = frames.localize(every, torch.full_like(height, eye[0]), height, torch.full_like(height, eye[2]))
    ux, uz = frames.turn(every[:, None], view[0][owner], view[2][owner])
    uy = view[1][owner]
    t, half = _enter(solid, 1.03, tuple(axis[:, None] for axis in start), (ux, uy, uz))
    member, pixel = (half > 0).nonzero(as_tuple=True)
    t, half = t[member, pixel], half[member, pixel]
    ux, uy, uz = ux[member, pixel], uy[member, pixel], uz[member, pixel]
    ex, ey, ez = (axis[member] for axis in start)
    end = t + 2 * half
    best_t, best = t, torch.full_like(t, FAR)
    for _ in range(MARCH_STEPS):
        d = distance(solid, ex + t * ux, ey + t * uy, ez + t * uz)
        nearer = (d / t < best) & (t < end)
        best = torch.where(nearer, d / t, best)
        best_t = torch.where(nearer, t, best_t)
        t = torch.minimum(t + d.clamp(min=0), end + 0.01)
    cover = (1 - (best / pixel_angle - 0.05)).clamp(0, 1)  # best is an angle: nearest approach over distance
    keep = (cover > 0).nonzero()[:, 0]
    member, pixel, t, cover = member[keep], pixel[keep], best_t[keep], cover[keep]
    local = (ex[keep] + t * ux[keep], ey[keep] + t * uy[keep], ez[keep] + t * uz[keep])
    normal = _normal(solid, local)
    wx, wz = frames.turn_back(member, normal[0], normal[2])
    scene = owner[member]
    t = t * frames.scale[member]
    dx, dy, dz = (axis[scene, pixel] for axis in view)
    point = (eye[0] + dx * t, eye[1][scene, 0] + dy * t, eye[2] + dz * t)
    return Hit(member, pixel, t, cover, point, local, (wx, normal[1], wz), normal)


def _enter(
    solid: Shape, margin: float, start: tuple[Tensor, ...], toward: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Where rays enter a shape's bounding sphere, and half their way through it; 0 for those that miss."""
    cx, cy, cz = -start[0], solid.middle - start[1], -start[2]
    closest = cx * toward[0] + cy * toward[1] + cz * toward[2]
    reach = (solid.radius * margin) ** 2 - (cx * cx + cy * cy + cz * cz - closest * closest)
    half = reach.clamp(min=0).sqrt()
    return closest - half, half


def _normal(solid: Shape, at: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Unit normals from the distances at the four corners of a small tetrahedron."""
    h = 2e-3
    corners = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
    found = [distance(solid, at[0] + h * a, at[1] + h * b, at[2] + h * c) for a, b, c in corners]
    nx, ny, nz = (
        torch.stack([corner[axis] * d for corner, d in zip(corners, found, strict=True)]).sum(0) for axis in range(3)
    )
    norm = torch.sqrt(nx * nx + ny * ny + nz * nz).clamp(min=1e-9)
    return nx / norm, ny / norm, nz / norm


def shadow(rays: Rays, scene: Tensor, owner: Tensor | None, by_shape: dict[str, list[PlacedThing]]) -> Tensor:
    """Share of the light that reaches the start of each ray (soft shadows: I. Quilez, 2010).

    Args:
        rays: [n] from the points to the light, in scene coordinates.
        scene: [n] which scene each point is in.
        owner: [n] slot of the thing each point is on; its own shadow is left to the shading. None for the ground, whose
            points lie in the order of their scenes.
        by_shape: The things, by shape.

    Returns:
        [n] in [0, 1].
    """
    light = torch.ones_like(rays.ox)
    for shape, members in by_shape.items():
        solid, frames = LIBRARY[shape], Frames.of(members, light)
        met = [_rows_met(rays, scene, owner, p) for p in members]
        row = torch.cat(met)
        member = torch.repeat_interleave(torch.tensor([len(rows) for rows in met], device=row.device))
        near = rays.take(row)
        ex, ey, ez = frames.localize(member, near.ox, near.oy, near.oz)
        ux, uz = frames.turn(member, near.dx, near.dz)
        entry, half = _enter(solid, 1.1, (ex, ey, ez), (ux, near.dy, uz))
        t, end = entry.clamp(min=0.02), entry + 2 * half
        reached = torch.ones_like(t)
        for _ in range(SHADOW_STEPS):
            d = distance(solid, ex + t * ux, ey + t * near.dy, ez + t * uz)
            reached = torch.where(t < end, torch.minimum(reached, SHADOW_SOFTNESS * d / t), reached)
            t = t + d.clamp(min=0.04)
        light = light.index_put((row,), torch.minimum(light[row], reached.clamp(0, 1)))
    return light


def _rows_met(rays: Rays, scene: Tensor, owner: Tensor | None, p: PlacedThing) -> Tensor:
    """The rays of a thing's scene, but for its own, that pass through its bounding sphere; as indices."""
    if owner is None:
        first, last = map(int, torch.searchsorted(scene, torch.tensor([p.scene, p.scene + 1], device=scene.device)))
        rows = torch.arange(first, last, device=scene.device)
    else:
        rows = ((scene == p.scene) & (owner != p.slot)).nonzero()[:, 0]
    near = rays.take(rows)
    solid = LIBRARY[p.thing.shape]
    cx, cy, cz = p.x - near.ox, solid.middle * p.scale - near.oy, p.z - near.oz
    closest = cx * near.dx + cy * near.dy + cz * near.dz
    off = cx * cx + cy * cy + cz * cz - closest * closest
    radius = solid.radius * p.scale * 1.1
    return rows[(off < radius**2) & (closest > -radius)]
