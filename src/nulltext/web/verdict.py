"""What an inversion is worth: what the autoencoder costs, what is lost on top, whether the prompt describes the image.

The thresholds are those that `nulltext bench verdict --limit 24 --steps 10` finds for the embedded model: right prompts
against prompts with a wrong noun, a wrong colour, and those of other scenes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, final

import torch

from nulltext.editing.agreement import Agreement, content_words, peak
from nulltext.editing.maps import AttentionMaps
from nulltext.images import to_pixels
from nulltext.inversion.base import Inversion
from nulltext.types import OnePixels

Grade = Literal["good", "fair", "poor"]
UNSEEN, SMALL = 1.0, 3.0
"""Up to so many decibels below the autoencoder alone a loss is not seen, or only in small details."""
ALIKE = 40.0
"""The decibels from which on two images look alike: the bound of a model of pixels, whose own is infinite."""
FAITHFUL, COARSE = 26.9, 14.7
"""Decibels of the autoencoder alone: less is lost of scenes of the model's own world than of finer images (8 % of those
are below, 10 % of these above), or of an image in which judges still read the same (17 % below, 8 % above)."""
FINE = 0.7
"""The model works at so many times the photograph's own detail, at least, where nobody sees that it is less."""
DOUBTED, BETTER_WITHOUT = -0.013, -0.016
"""A word is doubted where CLIP prefers the prompt with another of its kind (4 % of right prompts have one, all wrong
ones), or without it (no right prompt, but 12 % of those with a wrong noun and 4 % with a wrong colour have none)."""
NOWHERE = 1.5
"""A word whose map is at its highest less than so many times its mean looks everywhere, which is nowhere: one right
prompt in twenty has such a word. Whether a word is right no threshold tells: the best mistakes 38 % of right prompts,
and 46 % of the wrong ones."""


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing to know of an inversion.

    Attributes:
        about: What it is about; the page has a sentence for each with each grade.
        grade: How good that is.
        decibels: The figure behind it, if there is one.
        words: The words it is about.
        instead: What CLIP would rather say than each of these; "" for nothing in its place.
    """

    about: Literal["detail", "autoencoder", "reconstruction", "agreement", "words", "size"]
    grade: Grade
    decibels: float | None = None
    words: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()


def verdict(
    inversion: Inversion, maps: AttentionMaps | None, agreed: Agreement | None, warning: str = ""
) -> list[Line]:
    """All there is to say.

    Args:
        inversion: The inversion.
        maps: Where its words look; None where the model has no attention that can be recorded.
        agreed: Whether its prompt describes the image; None where no CLIP goes with the model.
        warning: That the model was not made for the size.
    """
    scores, frame = inversion.scores, inversion.frame
    bound = scores.vae_psnr
    lines = [Line(about="size", grade="fair")] if warning else []
    if _detail(frame.content, frame.part) < FINE:
        lines.append(Line(about="detail", grade="fair"))
    lines.append(Line(about="autoencoder", grade=_grade(bound, FAITHFUL, COARSE), decibels=_finite(bound)))
    gap = (ALIKE if math.isinf(bound) else bound) - scores.psnr
    lines.append(Line(about="reconstruction", grade=_grade(-gap, -UNSEEN, -SMALL), decibels=_finite(scores.psnr)))
    if agreed is not None and agreed.terms:
        lines.append(_agreement(agreed))
    if maps is not None:
        lost = tuple(word for word in content_words(inversion.prompt) if peak(maps, word) < NOWHERE)
        # Whether a word is right its map does not tell; where nothing else does, it is all that there is to go by.
        lines.append(Line(about="words", grade="fair" if lost and agreed is None else "good", words=lost))
    return lines


def _agreement(agreed: Agreement) -> Line:
    doubted = [each for each in agreed.terms if each.margin < (DOUBTED if each.instead else BETTER_WITHOUT)]
    grade: Grade = "good" if not doubted else "poor" if 2 * len(doubted) >= len(agreed.terms) > 1 else "fair"
    words, instead = (tuple(getattr(each, name) for each in doubted) for name in ("term", "instead"))
    return Line(about="agreement", grade=grade, words=words, instead=instead)


def overall(lines: Sequence[Line]) -> Grade:
    """The worst of all."""
    grades: set[Grade] = {line.grade for line in lines}
    return "poor" if "poor" in grades else "fair" if "fair" in grades else "good"


def as_json(lines: Sequence[Line]) -> dict[str, Any]:
    """For the API."""
    return {"grade": overall(lines), "lines": [asdict(line) for line in lines]}


def grey_maps(maps: AttentionMaps) -> Mapping[str, Any]:
    """Every word's map as whole numbers from 0 to 255, row after row, with its rows and columns."""
    found: dict[str, list[int]] = {}
    for word in maps.words():
        own = maps.of(word).float()
        low, high = own.min(), own.max()
        # Where all is alike there is nothing to see: no noise is blown up to look like a finding.
        span = torch.clamp(high - low, min=float(NOWHERE - 1) * float(own.mean()) + torch.finfo(own.dtype).tiny)
        found[word] = cast("list[int]", ((own - low) / span * 255).round().int().flatten().tolist())
    rows, columns = maps.maps.shape[-2:]
    return {"rows": rows, "columns": columns, "words": found}


def shown(inversion: Inversion) -> OnePixels:
    """[1, 3, H, W] in [-1, 1] the photograph as the model has it, without what fills a shape that is not its own."""
    left, top, right, bottom = inversion.frame.content
    return to_pixels(inversion.image)[..., top:bottom, left:right]


def place(inversion: Inversion) -> dict[str, Any]:
    """Where the image that the model works on lies in the photograph: boxes left, top, right, bottom."""
    frame = inversion.frame
    return {"part": list(frame.part), "content": list(frame.content), "fitted": list(frame.fitted)}


def _detail(content: Sequence[int], part: Sequence[int]) -> float:
    """How many pixels the model has for one of the photograph's, along a side."""
    return (content[2] - content[0]) / max(1, part[2] - part[0])


def _grade(value: float, good: float, fair: float) -> Grade:
    return "good" if value >= good else "fair" if value >= fair else "poor"


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value
