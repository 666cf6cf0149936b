"""Where the things of a scene stand, and their local coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from nulltext.scenes.world import Scene, Thing

FOCAL: Final = 2.9
"""Focal length in half image heights."""
DISTANCE: Final = 4.3
"""From the camera to the middle of the scene, scene units."""
LOOKS_AT: Final = 0.62
"""Height above the ground of what the camera is turned to, scene units."""


class PlacedThing(NamedTuple):
    """One thing in its scene: foot position, size, turn."""

    scene: int
    slot: int
    thing: Thing
    x: float
    z: float
    scale: float


def place(index: int, scene: Scene) -> list[PlacedThing]:
    """Where the things of a scene stand: (x, z) of the foot, and their sizes."""
    if len(scene.things) == 1:
        spots = [(0.0, 0.0, 1.0)]
    elif scene.relation == "behind":
        spots = [(-0.5, -1.7, 1.02), (0.32, 0.35, 0.72)]
    else:
        side = -1 if scene.relation == "left" else 1
        spots = [(side * 0.68, 0.0, 0.74), (-side * 0.68, 0.0, 0.74), (0.0, -2.0, 0.95)]
    tight = 1.0 if len(scene.things) == 1 else 0.5  # less room to move where there are more things
    return [
        PlacedThing(index, slot, thing, x + tight * thing.dx, z + tight * thing.dz, size * thing.scale)
        for slot, (thing, (x, z, size)) in enumerate(zip(scene.things, spots, strict=False))
    ]


def middles(scene: Scene) -> list[tuple[float, float]]:
    """Where the middles of the things of a scene are seen.

    Args:
        scene: The scene.

    Returns:
        For each thing (x, y) in half image heights from the image's middle, to the right and upwards.
    """
    pitch = math.atan((scene.camera_height - LOOKS_AT) / DISTANCE)
    projected: list[tuple[float, float]] = []
    for placed in place(0, scene):
        up, ahead = 0.55 * placed.scale - scene.camera_height, DISTANCE - placed.z
        depth = ahead * math.cos(pitch) - up * math.sin(pitch)
        projected.append((FOCAL * placed.x / depth, FOCAL * (up * math.cos(pitch) + ahead * math.sin(pitch)) / depth))
    return projected


class Frames(NamedTuple):
    """Local frames of the things of one shape; every member [things]."""

    x: Tensor
    z: Tensor
    scale: Tensor
    cos: Tensor
    sin: Tensor

    @staticmethod
    def of(members: Sequence[PlacedThing], like: Tensor) -> Frames:
        """The frames of some things, on the device of `like`."""
        rows = [(p.x, p.z, p.scale, math.cos(p.thing.yaw), math.sin(p.thing.yaw)) for p in members]
        return Frames(*torch.tensor(rows, device=like.device, dtype=like.dtype).T)

    def localize(self, member: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scene points into the local frames of their things."""
        px, pz, scale = x - self.x[member], z - self.z[member], self.scale[member]
        cos, sin = self.cos[member], self.sin[member]
        return (px * cos - pz * sin) / scale, y / scale, (px * sin + pz * cos) / scale

    def turn(self, member: Tensor, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """A scene direction's horizontal part into the local frames."""
        cos, sin = self.cos[member], self.sin[member]
        return x * cos - z * sin, x * sin + z * cos

    def turn_back(self, member: Tensor, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """A local direction's horizontal part back into the scene."""
        cos, sin = self.cos[member], self.sin[member]
        return x * cos + z * sin, z * cos - x * sin
