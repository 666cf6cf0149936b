"""The renderer: scenes in, images and masks out, many at once, on CPU or CUDA.

Rays are grouped by shape over the whole batch, so that each signed distance function runs once a step on long vectors.
A thing is only marched where a ray meets its bounding sphere, and a shadow only where a ray to the light does.
Silhouettes are antialiased from the nearest approach of the rays that miss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from nulltext.scenes import grounds, styles
from nulltext.scenes.materials import albedo
from nulltext.scenes.placement import DISTANCE, FOCAL, LOOKS_AT, PlacedThing, place
from nulltext.scenes.tracing import FAR, Hit, Rays, march, shadow
from nulltext.scenes.world import MOST_THINGS, Scene

MIRROR: Final = 0.28
"""Share of the sky that a shiny thing reflects."""
SMALLEST_SIDE: Final = 16


@dataclasses.dataclass(frozen=True)
class Rendering:
    """Images and where things are in them.

    Attributes:
        pixels: [batch, 3, height, width], values in [-1, 1].
        masks: [batch, 3, height, width], the visible share of every pixel that each thing covers, in [0, 1], in the
            order of `Scene.things`; zero where a scene has fewer things.
    """

    pixels: Tensor
    masks: Tensor


def render(
    scenes: Sequence[Scene], *, height: int = 128, width: int = 128, device: str | torch.device = "cpu"
) -> Rendering:
    """Draw scenes.

    Args:
        scenes: What to draw; an image does not depend on its neighbours in the batch.
        height: Pixels, 16 or more.
        width: Pixels, 16 or more.
        device: Where to draw.

    Returns:
        The images and the masks of their things.

    Raises:
        ValueError: No scenes, or a side under 16 pixels.
    """
    if not scenes or min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"got {len(scenes)} scenes at {height}x{width} pixels, expected at least one scene and sides of at least 16"
        )
    frame = _Frame.of(scenes, height, width, torch.device(device))
    by_shape: dict[str, list[PlacedThing]] = {}
    for placed in frame.placed:
        by_shape.setdefault(placed.thing.shape, []).append(placed)
    image = _background(frame, by_shape)
    surfaces, cover = _things(frame, by_shape)
    image, masks = _composite(frame, image, surfaces, cover)
    pixels = image.reshape(len(scenes), height, width, 3).permute(0, 3, 1, 2).clamp(0, 1)
    masks = masks.reshape(len(scenes), MOST_THINGS, height, width)
    styled = styles.apply(pixels, [scene.style for scene in scenes], masks.sum(1, keepdim=True))
    return Rendering(pixels=styled * 2 - 1, masks=masks)


class _Frame(NamedTuple):
    """The cameras and the lights of a batch of b images of n pixels.

    Attributes:
        scenes: The scenes.
        placed: All their things.
        camera: [b, 1] height of the camera.
        view: Unit directions of the pixels' rays, three of [b, n].
        to_light: Unit directions to the light, three of [b, 1].
        sun: [b, 1, 3] colour of the light.
        ambient: [b, 1, 3] colour of the light from everywhere.
        horizon: [b, 1, 3] colour of the far.
        haze: [b, 1] how fast distance fades.
        darkness: [b, 1] of shadows.
        pixel_angle: Angle of one pixel, radians.
    """

    scenes: Sequence[Scene]
    placed: list[PlacedThing]
    camera: Tensor
    view: tuple[Tensor, Tensor, Tensor]
    to_light: tuple[Tensor, Tensor, Tensor]
    sun: Tensor
    ambient: Tensor
    horizon: Tensor
    haze: Tensor
    darkness: Tensor
    pixel_angle: float

    @staticmethod
    def of(scenes: Sequence[Scene], height: int, width: int, device: torch.device) -> _Frame:
        """Set up the cameras, looking slightly down at the middle of the scene, and the lights."""
        area = height * width
        lights = [grounds.LIGHTS[scene.time] for scene in scenes]

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=device, dtype=torch.float32)[:, None]

        def colors(values: Sequence[grounds.RGB]) -> Tensor:
            return torch.tensor(values, device=device)[:, None]

        camera = column([scene.camera_height for scene in scenes])
        pitch = torch.atan((camera - LOOKS_AT) / DISTANCE)
        rows = 1 - (2 * torch.arange(height, device=device) + 1) / height
        columns = ((2 * torch.arange(width, device=device) + 1) / width - 1) * width / height
        rows = rows[:, None].expand(height, width).reshape(1, area)
        columns = columns[None].expand(height, width).reshape(1, area)
        length = (rows.square() + columns.square() + FOCAL**2).sqrt()
        azimuth = column([scene.light for scene in scenes])
        elevation = column([light.elevation for light in lights])
        return _Frame(
            scenes=scenes,
            placed=[placed for index, scene in enumerate(scenes) for placed in place(index, scene)],
            camera=camera,
            view=(
                (columns / length).expand(len(scenes), area),
                (rows * pitch.cos() - FOCAL * pitch.sin()) / length,
                -(rows * pitch.sin() + FOCAL * pitch.cos()) / length,
            ),
            to_light=(azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()),
            sun=colors([light.sun for light in lights]),
            ambient=colors([light.ambient for light in lights]),
            horizon=colors([light.horizon for light in lights]),
            haze=column([light.haze for light in lights]),
            darkness=column([light.shadow for light in lights]),
            pixel_angle=2 / (height * FOCAL),
        )

    def where(self, attribute: str) -> dict[str, Tensor]:
        """The scenes that share each word of an attribute, as indices."""
        words = [getattr(scene, attribute) for scene in self.scenes]
        return {
            word: torch.tensor([i for i, w in enumerate(words) if w == word], device=self.camera.device)
            for word in dict.fromkeys(words)
        }


def _background(frame: _Frame, by_shape: dict[str, list[PlacedThing]]) -> Tensor:
    """The sky and the lit ground with its shadows, [b, n, 3] in [0, 1]."""
    dx, dy, dz = frame.view
    t = torch.where(dy < -1e-4, -frame.camera / dy.clamp(max=-1e-4), torch.full_like(dy, FAR))  # noqa: PLR2004  not level
    gx, gz = dx * t, DISTANCE + dz * t
    below = t < FAR
    image = torch.empty(*dx.shape, 3, device=dx.device)
    sun_side = frame.to_light[0].sign()
    for time, of in frame.where("time").items():
        image[of] = grounds.sky(grounds.LIGHTS[time], dx[of], dy[of], dz[of], sun_side[of])
    shift = torch.tensor([scene.ground_shift for scene in frame.scenes], device=dx.device)
    base = torch.zeros_like(image)
    for ground, of in frame.where("ground").items():
        ux, uz = gx[of] + shift[of, :1], gz[of] + shift[of, 1:]
        base[of] = grounds.GROUND_COLORS[ground](ux, uz, t[of].clamp(max=60) * frame.pixel_angle * 1.5)
    scene, pixel = below.nonzero(as_tuple=True)
    level = torch.zeros(len(scene), device=dx.device)
    rays = Rays(gx[scene, pixel], level, gz[scene, pixel], *(axis[scene, 0] for axis in frame.to_light))
    reached = torch.ones_like(t)
    reached[scene, pixel] = shadow(rays, scene, None, by_shape)
    contact = torch.ones_like(t)
    for p in frame.placed:
        off = (gx[p.scene] - p.x).square() + (gz[p.scene] - p.z).square()
        contact[p.scene] *= 1 - 0.45 * torch.exp(-off / (0.22 * p.scale**2))
    direct = frame.to_light[1] * (1 - frame.darkness * (1 - reached))
    shaded = base * (frame.ambient * contact[..., None] + frame.sun * direct[..., None])
    fade = (1 - torch.exp(-frame.haze * t))[..., None]
    return torch.where(below[..., None], shaded + (frame.horizon - shaded) * fade, image)


def _things(frame: _Frame, by_shape: dict[str, list[PlacedThing]]) -> tuple[Tensor, Tensor]:
    """Every thing on its own: its colours [b, things, n, 3] and how much of each pixel it covers [b, things, n]."""
    batch, area = frame.view[1].shape
    surfaces = torch.zeros(batch, MOST_THINGS, area, 3, device=frame.camera.device)
    cover = torch.zeros(batch, MOST_THINGS, area, device=frame.camera.device)
    for shape, members in by_shape.items():
        hit = march(shape, members, (0.0, frame.camera, DISTANCE), frame.view, frame.pixel_angle)
        scene = torch.tensor([p.scene for p in members], device=cover.device)[hit.member]
        slot = torch.tensor([p.slot for p in members], device=cover.device)[hit.member]
        lifted = (at + 0.02 * normal for at, normal in zip(hit.point, hit.normal, strict=True))
        rays = Rays(*lifted, *(axis[scene, 0] for axis in frame.to_light))
        shaded = 1 - frame.darkness[scene, 0] * (1 - shadow(rays, scene, slot, by_shape))
        surfaces[scene, slot, hit.pixel] = _shade(frame, members, hit, scene, shaded)
        cover[scene, slot, hit.pixel] = hit.cover
    return surfaces, cover


def _shade(frame: _Frame, members: Sequence[PlacedThing], hit: Hit, scene: Tensor, shaded: Tensor) -> Tensor:
    """Colours of points on things, [n, 3]: diffuse light, and a highlight and the sky's reflection on shiny ones."""
    base, shiny = albedo(members, hit)
    nx, ny, nz = hit.normal
    lx, ly, lz = (axis[scene, 0] for axis in frame.to_light)
    sun, ambient, horizon = (light[scene, 0] for light in (frame.sun, frame.ambient, frame.horizon))
    facing = (nx * lx + ny * ly + nz * lz).clamp(min=0)
    bounce = (0.72 + 0.28 * ny).clamp(min=0)
    color = base * (ambient * bounce[:, None] + sun * 1.15 * (facing * shaded)[:, None])
    vx, vy, vz = (axis[scene, hit.pixel] for axis in frame.view)
    along = nx * vx + ny * vy + nz * vz
    rx, ry, rz = vx - 2 * along * nx, vy - 2 * along * ny, vz - 2 * along * nz
    mirrored = horizon * (ry * 3.0 + 0.5).clamp(0, 1)[:, None]  # bright above the horizon, dark below it
    edge = MIRROR + (1 - MIRROR) * (1 + along).clamp(0, 1).pow(4)
    color = color + (mirrored - color) * (edge * shiny * 0.75)[:, None]
    glint = (rx * lx + ry * ly + rz * lz).clamp(min=0).pow(28) * shaded * shiny * 1.3
    color = color + glint[:, None] * (sun + 0.35)
    far = (1 - torch.exp(-frame.haze[scene, 0] * hit.t))[:, None]
    return color + (horizon - color) * far


def _composite(frame: _Frame, image: Tensor, surfaces: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """Lay the things over the background, far to near; the image and the visible share of every thing."""
    depth = torch.full((len(frame.scenes), MOST_THINGS), FAR, device=cover.device)
    for p in frame.placed:
        depth[p.scene, p.slot] = -p.z
    masks = torch.zeros_like(cover)
    every = torch.arange(len(frame.scenes), device=cover.device)
    for slot in depth.argsort(dim=1, descending=True).T:  # slots without a thing come first and cover nothing
        share = cover[every, slot]
        image = image + (surfaces[every, slot] - image) * share[..., None]
        masks *= (1 - share)[:, None]
        masks[every, slot] = share
    return image, masks
