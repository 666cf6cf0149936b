"""The world of `scenes`: what can be seen, and one image of it as a value.

A `Scene` holds *attributes*, the words of its caption, and *nuisances*, everything a caption does not say: where a
thing stands, how it is turned, where the light comes from. Replacing one attribute and nothing else is a ground-truth
edit: the renderer draws the exact image that the edited caption asks for.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Final, Literal, TypeAlias

SHAPES: Final = (
    "ball",
    "cube",
    "cylinder",
    "cone",
    "ring",
    "star",
    "mug",
    "house",
    "tree",
    "mushroom",
    "snowman",
    "car",
)
COLORS: Final = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "black", "white")
PATTERNS: Final = ("plain", "striped", "spotted", "checkered")
FINISHES: Final = ("matte", "shiny")
GROUNDS: Final = ("grass", "sand", "snow", "wood", "brick", "water", "tiles", "asphalt")
TIMES: Final = ("sunny", "sunset", "night", "foggy", "dawn")
STYLES: Final = ("photo", "watercolor", "pencil drawing", "cartoon")
RELATIONS: Final = ("left", "right", "behind")

Relation: TypeAlias = Literal["left", "right", "behind"]

TRAINING_SEEDS: Final = range(10_000_000)
"""Seeds of the images a model may be trained on."""
HELD_OUT_SEEDS: Final = range(10_000_000, 20_000_000)
"""Seeds of the images kept for measuring; the recipe never draws from them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """One object: its words, then its nuisances.

    Attributes:
        shape: One of `SHAPES`.
        color: One of `COLORS`; the colour of the main part (a house's walls, a tree's crown, a mushroom's cap).
        pattern: One of `PATTERNS`.
        finish: One of `FINISHES`.
        dx: Sideways shift from its place, scene units, -0.2 to 0.2.
        dz: Shift towards the camera, scene units, -0.2 to 0.2.
        scale: Size factor, 0.9 to 1.12.
        yaw: Turn about the vertical axis, radians, -0.5 to 0.5.
    """

    shape: str
    color: str
    pattern: str = "plain"
    finish: str = "matte"
    dx: float = 0.0
    dz: float = 0.0
    scale: float = 1.0
    yaw: float = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One image: one to three things, where they are, when it is, and how it is drawn.

    Attributes:
        things: One to three things. The first is `relation` of the second; a third stands behind both.
        relation: How the first thing stands to the second; None where there is one thing only.
        ground: One of `GROUNDS`.
        time: One of `TIMES`.
        style: One of `STYLES`.
        light: Azimuth of the light, radians from straight behind the camera; negative is from the left.
        camera_height: Height of the camera above the ground, scene units, 1.0 to 1.45.
        ground_shift: Offset of the ground's texture, scene units.

    Raises:
        ValueError: An attribute that is not in its list, or a relation that does not fit the number of things.
    """

    things: tuple[Thing, ...]
    ground: str
    time: str
    style: str = "photo"
    relation: Relation | None = None
    light: float = -0.9
    camera_height: float = 1.2
    ground_shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        """Check every word against the world's lists."""
        words = [("ground", self.ground, GROUNDS), ("time", self.time, TIMES), ("style", self.style, STYLES)]
        for thing in self.things:
            words += [("shape", thing.shape, SHAPES), ("color", thing.color, COLORS)]
            words += [("pattern", thing.pattern, PATTERNS), ("finish", thing.finish, FINISHES)]
        for name, got, known in words:
            if got not in known:
                raise ValueError(f"{name}: got {got!r}, expected one of {', '.join(known)}")
        if not 1 <= len(self.things) <= MOST_THINGS:
            raise ValueError(f"things: got {len(self.things)}, expected 1 to {MOST_THINGS}")
        if (self.relation is None) != (len(self.things) == 1):
            raise ValueError(
                f"relation: got {self.relation!r} for {len(self.things)} thing(s); give one for two or three"
            )


MOST_THINGS: Final = 3


def sample_scene(seed: int, *, things: int | None = None, style: str | None = None) -> Scene:
    """Draw one scene; the same seed gives the same scene everywhere.

    Args:
        seed: Any integer; `TRAINING_SEEDS` and `HELD_OUT_SEEDS` keep training and measuring apart.
        things: How many things, 1 to 3; drawn (70 %, 22 %, 8 %) when not given.
        style: One of `STYLES`; drawn (three in four a photo) when not given.

    Returns:
        The scene.
    """
    rng = random.Random(seed)  # noqa: S311  images, not secrets
    sampled_count = rng.choices((1, 2, 3), weights=(70, 22, 8))[0]
    sampled_style = rng.choices(STYLES, weights=(76, 8, 8, 8))[0]
    count = sampled_count if things is None else things
    candidates = tuple(_sample_thing(rng) for _ in range(MOST_THINGS))
    kept: list[Thing] = []
    for thing in candidates[:count]:  # two things never share shape or colour, so that the caption tells them apart
        unlike = thing
        while any(unlike.shape == k.shape or unlike.color == k.color for k in kept):
            unlike = dataclasses.replace(unlike, shape=rng.choice(SHAPES), color=rng.choice(COLORS))
        kept.append(unlike)
    return Scene(
        things=tuple(kept),
        relation=None if count == 1 else rng.choice(("left", "right", "behind") if count == 2 else ("left", "right")),  # noqa: PLR2004
        ground=rng.choice(GROUNDS),
        time=rng.choice(TIMES),
        style=sampled_style if style is None else style,
        light=rng.choice((-1, 1)) * rng.uniform(0.5, 1.2),
        camera_height=rng.uniform(1.0, 1.45),
        ground_shift=(rng.uniform(-1, 1), rng.uniform(-1, 1)),
    )


def _sample_thing(rng: random.Random) -> Thing:
    return Thing(
        shape=rng.choice(SHAPES),
        color=rng.choice(COLORS),
        pattern=rng.choices(PATTERNS, weights=(55, 15, 15, 15))[0],
        finish=rng.choices(FINISHES, weights=(65, 35))[0],
        dx=rng.uniform(-0.2, 0.2),
        dz=rng.uniform(-0.2, 0.2),
        scale=rng.uniform(0.9, 1.12),
        yaw=rng.uniform(-0.5, 0.5),
    )
