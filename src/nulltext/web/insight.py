"""What can be seen inside of an inversion: where its words look, and its trajectory."""

import torch
from PIL import Image

from nulltext.editing.maps import AttentionMaps
from nulltext.images import to_image
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model
from nulltext.web.opening import thumbnail
from nulltext.web.results import Insight

STRIP = 8
"""Images in the strip of a trajectory."""


def insight_of(model: Model, inversion: Inversion, maps: AttentionMaps, losses: tuple[float, ...]) -> Insight:
    """The attention maps of an inversion over its image, and its trajectory from noise to image."""
    return Insight(
        maps={word: _highlight(maps, word, inversion) for word in maps.words()},
        strip=_strip(model, inversion),
        losses=losses,
    )


def _strip(model: Model, inversion: Inversion) -> Image.Image:
    """Some latents of the trajectory, decoded, side by side."""
    steps = torch.linspace(0, len(inversion.schedule), STRIP).round().long()
    images = [to_image(model.decode(inversion.pivot[step : step + 1].to(model.device)).cpu()) for step in steps]
    strip = Image.new("RGB", (sum(one.width for one in images), images[0].height))
    for place, image in enumerate(images):
        strip.paste(image, (place * image.width, 0))
    return strip


def _highlight(maps: AttentionMaps, word: str, inversion: Inversion) -> Image.Image:
    """The image, bright where a word looks."""
    bright = (maps.pixels[:1] + 1) * (0.15 + 0.85 * maps.over(word)) - 1
    return thumbnail(inversion.restore(bright))
