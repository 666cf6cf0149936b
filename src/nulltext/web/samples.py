"""Images to begin with: held-out scenes of the world that the embedded model knows."""

from functools import cache
from typing import NamedTuple

from PIL import Image

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


@cache
def samples() -> tuple[Sample, ...]:
    """All of them."""
    scenes = [sample_scene(HELD_OUT_SEEDS[seed]) for seed in SEEDS]
    pixels = render(scenes, height=_SIDE, width=_SIDE).pixels
    images: list[Image.Image] = [to_image(one[None]) for one in pixels]
    return tuple(
        Sample(f"sample-{number}.png", caption(scene), png(image))
        for number, (scene, image) in enumerate(zip(scenes, images, strict=True), 1)
    )


def sample(name: str) -> Sample:
    """One of them by its file's name.

    Raises:
        KeptFileNotFoundError: There is none of that name.
    """
    found = next((one for one in samples() if one.name == name), None)
    if found is None:
        raise KeptFileNotFoundError(f"there is no sample {name[:64]!r}; expected one of those that are listed.")
    return found
