"""The renderer: scenes in, pictures and masks out, many at once, on CPU or CUDA.

Rays are grouped by shape over the whole batch, so that each signed distance function runs once a step on long vectors. A thing
is only marched where a ray meets its bounding sphere, and a shadow only where a ray to the light does. Silhouettes are
antialiased from the nearest approach of the rays that miss.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from nulltext.scenes import grounds, styles
from nulltext.scenes.shapes import LIBRARY, distance
from nulltext.scenes.world import MOST_THINGS, Scene, Thing

PALETTE: Final[dict[str, grounds.RGB]] = {
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
FOCAL: Final = 2.9
"""Focal length in half picture heights."""
DISTANCE: Final = 4.3
"""From the camera to the middle of the scene, scene units."""
MARCH_STEPS: Final = 26
SHADOW_STEPS: Final = 12
SHADOW_SOFTNESS: Final = 9.0
FAR: Final = 1e4
MIRROR: Final = 0.28
"""Share of the sky that a shiny thing reflects."""


@dataclasses.dataclass(frozen=True)
class Rendering:
    """Pictures and where things are in them.

    Attributes:
        pixels: [batch, 3, height, width], values in [-1, 1].
        masks: [batch, 3, height, width], the visible share of every pixel that each thing covers, in [0, 1], in the
            order of `Scene.things`; zero where a scene has fewer things.
    """

    pixels: Tensor
    masks: Tensor


class _Placed(NamedTuple):
    """One thing in its scene: foot position, size, turn."""

    scene: int
    slot: int
    thing: Thing
    x: float
    z: float
    scale: float


class _Rays(NamedTuple):
    """Rays in scene coordinates, every member [n]; directions have unit length."""

    ox: Tensor
    oy: Tensor
    oz: Tensor
    dx: Tensor
    dy: Tensor
    dz: Tensor

    def take(self, index: Tensor) -> _Rays:
        return _Rays(*(member[index] for member in self))


def render(scenes: Sequence[Scene], *, height: int = 128, width: int = 128, device: str | torch.device = "cpu") -> Rendering:
    """Draw scenes.

    Args:
        scenes: What to draw; a picture does not depend on its neighbours in the batch.
        height: Pixels, 16 or more.
        width: Pixels, 16 or more.
        device: Where to draw.

    Returns:
        The pictures and the masks of their things.

    Raises:
        ValueError: No scenes, or a side under 16 pixels.
    """
    if not scenes or min(height, width) < 16:  # noqa: PLR2004
        raise ValueError(
            f"got {len(scenes)} scenes at {height}x{width} pixels, expected at least one scene and sides of at least 16"
        )
    pixels, masks = _draw(scenes, height, width, torch.device(device))
    drawn = styles.apply(pixels.permute(0, 3, 1, 2).clamp(0, 1), [s.style for s in scenes], masks.sum(1, keepdim=True))
    return Rendering(pixels=drawn * 2 - 1, masks=masks)


def _draw(scenes: Sequence[Scene], height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The photo of every scene, [batch, h, w, 3] in [0, 1], and the masks [batch, things, h, w]."""
    batch, area = len(scenes), height * width
    lights = [grounds.LIGHTS[s.time] for s in scenes]

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=device, dtype=torch.float32)[:, None]

    # Camera: above the ground, looking slightly down at the middle of the scene.
    camera = column([s.camera_height for s in scenes])
    pitch = torch.atan((camera - 0.62) / DISTANCE)
    rows = (1 - (2 * torch.arange(height, device=device) + 1) / height)[:, None].expand(height, width).reshape(1, area)
    columns = (((2 * torch.arange(width, device=device) + 1) / width - 1) * width / height)[None].expand(height, width)
    columns = columns.reshape(1, area)
    length = (rows.square() + columns.square() + FOCAL**2).sqrt()
    dx = (columns / length).expand(batch, area)
    dy = (rows * pitch.cos() - FOCAL * pitch.sin()) / length
    dz = -(rows * pitch.sin() + FOCAL * pitch.cos()) / length
    pixel_angle = 2 / (height * FOCAL)

    azimuth = column([s.light for s in scenes])
    elevation = column([light.elevation for light in lights])
    to_light = (azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos())
    sun = torch.tensor([light.sun for light in lights], device=device)[:, None]
    ambient = torch.tensor([light.ambient for light in lights], device=device)[:, None]
    horizon = torch.tensor([light.horizon for light in lights], device=device)[:, None]
    haze = column([light.haze for light in lights])
    darkness = column([light.shadow for light in lights])
    sun_side = azimuth.sign()

    placed = [p for index, scene in enumerate(scenes) for p in _place(index, scene)]
    by_shape: dict[str, list[_Placed]] = {}
    for p in placed:
        by_shape.setdefault(p.thing.shape, []).append(p)

    # The ground and the sky.
    t_ground = torch.where(dy < -1e-4, -camera / dy.clamp(max=-1e-4), torch.full_like(dy, FAR))  # noqa: PLR2004
    gx, gz = dx * t_ground, DISTANCE + dz * t_ground
    picture = torch.empty(batch, area, 3, device=device)
    for time in {s.time for s in scenes}:
        of = torch.tensor([i for i, s in enumerate(scenes) if s.time == time], device=device)
        picture[of] = grounds.sky(grounds.LIGHTS[time], dx[of], dy[of], dz[of], sun_side[of])
    shift = torch.tensor([s.ground_shift for s in scenes], device=device)
    below = t_ground < FAR
    base = torch.zeros(batch, area, 3, device=device)
    for ground in {s.ground for s in scenes}:
        of = torch.tensor([i for i, s in enumerate(scenes) if s.ground == ground], device=device)
        ux, uz = gx[of] + shift[of, :1], gz[of] + shift[of, 1:]
        base[of] = grounds.GROUND_COLORS[ground](ux, uz, t_ground[of].clamp(max=60) * pixel_angle * 1.5)
    lit_scene, lit_pixel = below.nonzero(as_tuple=True)
    shade_rays = _Rays(
        gx[lit_scene, lit_pixel],
        torch.zeros_like(lit_scene, dtype=torch.float32),
        gz[lit_scene, lit_pixel],
        *(axis[lit_scene, 0] for axis in to_light),
    )
    shadow = torch.ones(batch, area, device=device)
    shadow[lit_scene, lit_pixel] = _shadow(shade_rays, lit_scene, None, by_shape)
    contact = torch.ones(batch, area, device=device)
    for p in placed:
        off = (gx[p.scene] - p.x).square() + (gz[p.scene] - p.z).square()
        contact[p.scene] *= 1 - 0.45 * torch.exp(-off / (0.22 * p.scale**2))
    direct = to_light[1] * (1 - darkness * (1 - shadow))
    lit = base * (ambient * contact[..., None] + sun * direct[..., None])
    fade = (1 - torch.exp(-haze * t_ground))[..., None]
    picture = torch.where(below[..., None], lit + (horizon - lit) * fade, picture)

    # The things, far to near.
    surfaces = torch.zeros(batch, MOST_THINGS, area, 3, device=device)
    cover = torch.zeros(batch, MOST_THINGS, area, device=device)
    for shape, members in by_shape.items():
        hit = _march(shape, members, camera, (dx, dy, dz), pixel_angle)
        owner_scene = torch.tensor([p.scene for p in members], device=device)[hit.member]
        owner_slot = torch.tensor([p.slot for p in members], device=device)[hit.member]
        light_rays = _Rays(*hit.point, *(axis[owner_scene, 0] for axis in to_light))
        nx, ny, nz = hit.normal
        lifted = _Rays(
            light_rays.ox + 0.02 * nx, light_rays.oy + 0.02 * ny, light_rays.oz + 0.02 * nz, *light_rays[3:]
        )
        lit_share = 1 - darkness[owner_scene, 0] * (1 - _shadow(lifted, owner_scene, owner_slot, by_shape))
        albedo, shiny = _albedo(shape, members, hit)
        facing = (nx * light_rays.dx + ny * light_rays.dy + nz * light_rays.dz).clamp(min=0)
        bounce = (0.72 + 0.28 * ny).clamp(min=0)
        color = albedo * (
            ambient[owner_scene, 0] * bounce[:, None] + sun[owner_scene, 0] * 1.15 * (facing * lit_share)[:, None]
        )
        vx, vy, vz = (axis[owner_scene, hit.pixel] for axis in (dx, dy, dz))
        along = nx * vx + ny * vy + nz * vz
        rx, ry, rz = vx - 2 * along * nx, vy - 2 * along * ny, vz - 2 * along * nz
        glint = (rx * light_rays.dx + ry * light_rays.dy + rz * light_rays.dz).clamp(min=0).pow(28)
        glint = glint * lit_share * shiny * 1.3
        # What a shiny thing mirrors: bright above the horizon, dark below it.
        above = (ry * 3.0 + 0.5).clamp(0, 1)[:, None]
        mirrored = horizon[owner_scene, 0] * above
        edge = MIRROR + (1 - MIRROR) * (1 + along).clamp(0, 1).pow(4)
        color = color + (mirrored - color) * (edge * shiny * 0.75)[:, None]
        color = color + glint[:, None] * (sun[owner_scene, 0] + 0.35)
        far = (1 - torch.exp(-haze[owner_scene, 0] * hit.t))[:, None]
        color = color + (horizon[owner_scene, 0] - color) * far
        surfaces[owner_scene, owner_slot, hit.pixel] = color
        cover[owner_scene, owner_slot, hit.pixel] = hit.cover
    depth = torch.full((batch, MOST_THINGS), FAR, device=device)
    for p in placed:
        depth[p.scene, p.slot] = -p.z
    masks = torch.zeros_like(cover)
    every = torch.arange(batch, device=device)
    for slot in depth.argsort(dim=1, descending=True).T:  # FAR first: slots without a thing
        share = cover[every, slot]
        picture = picture + (surfaces[every, slot] - picture) * share[..., None]
        masks *= (1 - share)[:, None]
        masks[every, slot] = share
    return picture.reshape(batch, height, width, 3), masks.reshape(batch, MOST_THINGS, height, width)


def _place(index: int, scene: Scene) -> list[_Placed]:
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
        _Placed(index, slot, thing, x + tight * thing.dx, z + tight * thing.dz, size * thing.scale)
        for slot, (thing, (x, z, size)) in enumerate(zip(scene.things, spots, strict=False))
    ]


class _Hit(NamedTuple):
    """What the camera's rays found on the things of one shape; every member [n]."""

    member: Tensor
    pixel: Tensor
    t: Tensor
    cover: Tensor
    point: tuple[Tensor, Tensor, Tensor]
    local: tuple[Tensor, Tensor, Tensor]
    normal: tuple[Tensor, Tensor, Tensor]
    local_normal: tuple[Tensor, Tensor, Tensor]


class _Frames(NamedTuple):
    """Local frames of the things of one shape; every member [things]."""

    x: Tensor
    z: Tensor
    scale: Tensor
    cos: Tensor
    sin: Tensor

    @staticmethod
    def of(members: Sequence[_Placed], like: Tensor) -> _Frames:
        rows = [(p.x, p.z, p.scale, math.cos(p.thing.yaw), math.sin(p.thing.yaw)) for p in members]
        return _Frames(*torch.tensor(rows, device=like.device, dtype=like.dtype).T)

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


def _march(
    shape: str, members: Sequence[_Placed], camera: Tensor, directions: tuple[Tensor, Tensor, Tensor], pixel_angle: float
) -> _Hit:
    """Sphere tracing of the camera's rays, in local coordinates."""
    solid, frames = LIBRARY[shape], _Frames.of(members, camera)
    owner = torch.tensor([p.scene for p in members], device=camera.device)
    every = torch.arange(len(members), device=camera.device)
    eye = frames.localize(every, torch.zeros_like(frames.x), camera[owner, 0], torch.full_like(frames.x, DISTANCE))
    dx, dy, dz = (axis[owner] for axis in directions)
    cx, cy, cz = -eye[0][:, None], solid.middle - eye[1][:, None], -eye[2][:, None]
    ux, uz = frames.turn(every[:, None], dx, dz)
    closest = cx * ux + cy * dy + cz * uz
    reach = (solid.radius * 1.03) ** 2 - (cx * cx + cy * cy + cz * cz - closest * closest)
    member, pixel = (reach > 0).nonzero(as_tuple=True)
    half = reach[member, pixel].sqrt()
    ux, uy, uz = ux[member, pixel], dy[member, pixel], uz[member, pixel]
    ex, ey, ez = (axis[member] for axis in eye)
    t = closest[member, pixel] - half
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
    # Normal from the four corners of a tetrahedron.
    h = 2e-3
    corners = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
    at = [distance(solid, local[0] + h * a, local[1] + h * b, local[2] + h * c) for a, b, c in corners]
    nx, ny, nz = (sum(sign[axis] * d for sign, d in zip(corners, at, strict=True)) for axis in range(3))
    norm = torch.sqrt(nx * nx + ny * ny + nz * nz).clamp(min=1e-9)
    nx, ny, nz = nx / norm, ny / norm, nz / norm
    wx, wz = frames.turn_back(member, nx, nz)
    scale = frames.scale[member]
    of = owner[member]
    t = t * scale
    point = (
        directions[0][of, pixel] * t,
        camera[of, 0] + directions[1][of, pixel] * t,
        DISTANCE + directions[2][of, pixel] * t,
    )
    return _Hit(member, pixel, t, cover, point, local, (wx, ny, wz), (nx, ny, nz))


def _shadow(rays: _Rays, scene: Tensor, owner: Tensor | None, by_shape: dict[str, list[_Placed]]) -> Tensor:
    """Share of the light that reaches the start of each ray, [n] in [0, 1].

    Args:
        rays: From the points to the light.
        scene: [n] which scene each point is in.
        owner: [n] slot of the thing each point is on; its own shadow is left to the shading. None for the ground.
        by_shape: The things, by shape.
    """
    light = torch.ones_like(rays.ox)
    # Rows of one scene lie together: the first and one past the last row of each.
    starts = torch.searchsorted(scene, torch.arange(int(scene.max()) + 2 if len(scene) else 1, device=scene.device)).tolist() if owner is None else None
    for shape, members in by_shape.items():
        solid, frames = LIBRARY[shape], _Frames.of(members, light)
        picked: list[Tensor] = []
        of: list[int] = []
        for index, p in enumerate(members):
            if starts is not None:
                first, last = (starts[p.scene], starts[p.scene + 1]) if p.scene + 1 < len(starts) else (0, 0)
                rows = torch.arange(first, last, device=scene.device)
                near = rays.take(slice(first, last))  # type: ignore[arg-type]  a slice reads the same rows without a copy
            else:
                assert owner is not None
                rows = ((scene == p.scene) & (owner != p.slot)).nonzero()[:, 0]
                if not len(rows):
                    continue
                near = rays.take(rows)
            cx, cy, cz = p.x - near.ox, solid.middle * p.scale - near.oy, p.z - near.oz
            closest = cx * near.dx + cy * near.dy + cz * near.dz
            off = cx * cx + cy * cy + cz * cz - closest * closest
            radius = solid.radius * p.scale * 1.1
            met = ((off < radius**2) & (closest > -radius)).nonzero()[:, 0]
            picked.append(rows[met])
            of.append(index)
        if not picked:
            continue
        row = torch.cat(picked)
        if not len(row):
            continue
        member = torch.repeat_interleave(
            torch.tensor(of, device=row.device), torch.tensor([len(p) for p in picked], device=row.device)
        )
        near = rays.take(row)
        ex, ey, ez = frames.localize(member, near.ox, near.oy, near.oz)
        ux, uz = frames.turn(member, near.dx, near.dz)
        closest = -ex * ux + (solid.middle - ey) * near.dy - ez * uz
        off = ex * ex + (solid.middle - ey) ** 2 + ez * ez - closest * closest
        half = ((solid.radius * 1.1) ** 2 - off).clamp(min=0).sqrt()
        t = (closest - half).clamp(min=0.02)
        end = closest + half
        reached = torch.ones_like(t)
        for _ in range(SHADOW_STEPS):
            d = distance(solid, ex + t * ux, ey + t * near.dy, ez + t * uz)
            inside = t < end
            reached = torch.where(inside, torch.minimum(reached, SHADOW_SOFTNESS * d / t), reached)
            t = t + d.clamp(min=0.04)
        light = light.index_put((row,), torch.minimum(light[row], reached.clamp(0, 1)))
    return light


def _albedo(shape: str, members: Sequence[_Placed], hit: _Hit) -> tuple[Tensor, Tensor]:
    """Colour of every point found, [n, 3] in [0, 1], and whether it is shiny, [n]."""
    solid = LIBRARY[shape]
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
