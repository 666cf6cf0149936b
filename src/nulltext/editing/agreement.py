"""Whether a prompt describes an image: by a CLIP that was trained for it, and by where its words look.

CLIP's answer is compared, never taken as it is: a prompt that describes an image agrees with it better than the same
prompt with one of its words changed to another of its kind or, where kinds are not known, without the word. What a
cosine of some CLIP is worth by itself only a sweep can say; `nulltext bench verdict` is one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, final

import torch
from torch import Tensor
from torch.nn import functional

from nulltext.editing.maps import AttentionMaps
from nulltext.errors import PromptError
from nulltext.models.base import Model
from nulltext.models.capabilities import image_reader_of
from nulltext.models.clip import Clip
from nulltext.models.loading import EMBEDDED
from nulltext.scenes.captions import rivals
from nulltext.text.words import different_words
from nulltext.types import OnePixels

SMALL_WORDS: Final = frozenset({
    "a", "an", "and", "are", "as", "at", "behind", "by", "day", "for", "from", "image", "in", "is", "it", "its", "of",
    "on", "or", "over", "photo", "picture", "standing", "the", "them", "there", "this", "to", "under", "with",
})  # fmt: skip
"""Words that stand for nothing that is at a place in an image."""


@final
@dataclass(frozen=True, kw_only=True)
class Term:
    """A word of a prompt, or a few that belong together, and what would describe the image best in its place.

    Attributes:
        term: As the prompt has it.
        instead: The best of the others; "" for leaving it out.
        margin: How much better the prompt agrees with the image as it is, as cosines, -2 to 2; less than 0 where it is
            the other that is better.
    """

    term: str
    instead: str
    margin: float


@final
@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What CLIP says of an image and a prompt.

    Attributes:
        cosine: Of both, -1 to 1; what that means is each CLIP's own.
        terms: The words of the prompt that could be compared, least sure first.
    """

    cosine: float
    terms: tuple[Term, ...]

    @property
    def margin(self) -> float:
        """That of the least sure word; infinite if none could be compared."""
        return self.terms[0].margin if self.terms else float("inf")


def agreement(model: Model, pixels: OnePixels, prompt: str, *, known: bool = True) -> Agreement | None:
    """Asks the CLIP that goes with a model.

    Args:
        model: The embedded model, whose CLIP ships with it, or one that is told of images by a CLIP of its own.
        pixels: [1, 3, H, W] in [-1, 1].
        prompt: What the image should show.
        known: Whether words are compared with others of their kind, where kinds are known; else each is left out.

    Returns:
        What it says; None for a model that has no CLIP which sees images, and for a prompt that it cannot read.
    """
    reader = image_reader_of(model)
    if model.identity.id == EMBEDDED:
        clip, others = _embedded(), list(rivals(prompt) if known else _without(prompt))
        image, texts = clip.images(pixels.to(clip.model.device)), clip.texts([prompt, *(each[2] for each in others)])
    elif reader is not None:
        others = list(_without(prompt))
        try:
            image, texts = reader.see(pixels), reader.read([prompt, *(each[2] for each in others)])
        except PromptError:
            return None
    else:
        return None
    cosine, *rest = _cosines(image, texts)
    return Agreement(cosine=cosine, terms=_terms(others, cosine, rest))


def peak(maps: AttentionMaps, word: str) -> float:
    """How many times its mean the map of a word is at its highest: 1 for one that looks everywhere alike."""
    own = maps.of(word)
    return float(own.max() / own.mean().clamp(min=torch.finfo(own.dtype).tiny))


def content_words(prompt: str) -> list[str]:
    """The different words of a prompt that stand for something."""
    return [word for word in different_words(prompt) if word.lower() not in SMALL_WORDS]


@cache
def _embedded() -> Clip:
    return Clip.load()


def _without(prompt: str) -> Iterator[tuple[str, str, str]]:
    """A prompt without one of its words, for each that stands for something."""
    for word in content_words(prompt):
        shorter = " ".join(re.sub(rf"\b{re.escape(word)}\b", "", prompt, flags=re.IGNORECASE).split())
        if shorter:
            yield word, "", shorter


def _cosines(image: Tensor, texts: Tensor) -> list[float]:
    pair = image.detach().cpu().double(), texts.detach().cpu().double()
    return [each.item() for each in functional.cosine_similarity(*pair, dim=-1)]


def _terms(others: Sequence[tuple[str, str, str]], cosine: float, cosines: Sequence[float]) -> tuple[Term, ...]:
    best: dict[str, Term] = {}
    for (term, instead, _), other in zip(others, cosines, strict=True):
        if term not in best or cosine - other < best[term].margin:
            best[term] = Term(term=term, instead=instead, margin=cosine - other)
    return tuple(sorted(best.values(), key=lambda each: each.margin))
