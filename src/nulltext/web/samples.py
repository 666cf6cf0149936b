"""Images to begin with: held-out scenes of the world that the embedded model knows."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from nulltext.errors import KeptFileNotFoundError
from nulltext.images import to_image
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene
from nulltext.web.recipes import png

SEEDS = (50_003, 50_014, 50_021, 50_033)
_SIDE = 384


class Sample(NamedTuple):
    """An image as a PNG file, and its prompt."""

    name: str
    prompt: str
    data: bytes


def samples() -> tuple[Sample, ...]:
    """All of them."""
    return tuple(map(_drawn, range(len(SEEDS))))


def prepare(stopped: Callable[[], bool]) -> None:
    """Renders them, which takes a second or two, until it is told to stop."""
    for number in range(len(SEEDS)):
        if not stopped():
            _drawn(number)


@cache
def _drawn(number: int) -> Sample:
    scene = sample_scene(HELD_OUT_SEEDS[SEEDS[number]])
    image = to_image(render([scene], height=_SIDE, width=_SIDE).pixels)
    return Sample(f"sample-{number + 1}.png", caption(scene), png(image))


def sample(name: str) -> Sample:
    """One of them by its file's name.

    Raises:
        KeptFileNotFoundError: There is none of that name.
    """
    found = next((one for one in samples() if one.name == name), None)
    if found is None:
        raise KeptFileNotFoundError(f"there is no sample {name[:64]!r}; expected one of those that are listed.")
    return found
