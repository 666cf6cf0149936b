"""What an inversion is worth: what the autoencoder costs, what is lost on top, which words look nowhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, final

import torch

from nulltext.editing.maps import AttentionMaps
from nulltext.inversion.base import Inversion

Grade = Literal["good", "fair", "poor"]
UNSEEN, SMALL = 1.0, 3.0
"""Up to so many decibels below the autoencoder alone a loss is not seen, or only in small details."""
ALIKE = 40.0
"""The decibels from which on two images look alike: the bound of a model of pixels, whose own is infinite."""
FAITHFUL, COARSE = 33.0, 26.0
"""Decibels of the autoencoder alone from which on a viewer sees no loss, or only small details go."""
FINE = 0.7
"""The model works at so many times the photograph's own detail, at least, where nobody sees that it is less."""
NOWHERE = 1.35
"""A word whose map is at its highest less than so many times its mean looks everywhere, which is nowhere."""
_SMALL_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "by", "for", "from", "image", "in", "is", "it", "its", "of", "on", "or",
    "over", "photo", "picture", "the", "there", "this", "to", "under", "with",
})  # fmt: skip
"""Words that stand for nothing in an image."""


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing to know of an inversion.

    Attributes:
        about: What it is about; the page has a sentence for each with each grade.
        grade: How good that is.
        decibels: The figure behind it, if there is one.
        words: The words it is about.
    """

    about: Literal["detail", "autoencoder", "reconstruction", "words", "size"]
    grade: Grade
    decibels: float | None = None
    words: tuple[str, ...] = ()


def verdict(inversion: Inversion, maps: AttentionMaps | None, warning: str = "") -> list[Line]:
    """All there is to say.

    Args:
        inversion: The inversion.
        maps: Where its words look; None where the model has no attention that can be recorded.
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
    if maps is not None:
        lost = tuple(word for word in _content(maps.words()) if _peak(maps, word) < NOWHERE)
        lines.append(Line(about="words", grade="fair" if lost else "good", words=lost))
    return lines


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


def place(inversion: Inversion) -> dict[str, Any]:
    """Where the image that the model works on lies in the photograph: boxes left, top, right, bottom."""
    frame = inversion.frame
    return {"part": list(frame.part), "content": list(frame.content), "fitted": list(frame.fitted)}


def _detail(content: Sequence[int], part: Sequence[int]) -> float:
    """How many pixels the model has for one of the photograph's, along a side."""
    return (content[2] - content[0]) / max(1, part[2] - part[0])


def _content(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.lower() not in _SMALL_WORDS]


def _peak(maps: AttentionMaps, word: str) -> float:
    own = maps.of(word)
    return float(own.max() / own.mean().clamp(min=torch.finfo(own.dtype).tiny))


def _grade(value: float, good: float, fair: float) -> Grade:
    return "good" if value >= good else "fair" if value >= fair else "poor"


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value
