"""Captions: a scene in words, in several wordings, and what a change of one word does to the scene."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator
from typing import Final, TypeVar

from nulltext.scenes.world import (
    COLORS,
    FINISHES,
    GROUNDS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    STYLES,
    TIMES,
    Relation,
    Scene,
    Thing,
)

TIME_PHRASES: Final[dict[str, str]] = {
    "sunny": "on a sunny day",
    "sunset": "at sunset",
    "night": "at night",
    "foggy": "on a foggy day",
    "dawn": "at dawn",
}
WORDINGS: Final = (
    "{style}{things} on {ground} {time}",
    "{style}{things} {time}, on {ground}",
    "{time}, {style}{things} on {ground}",
    "{style}{things} standing on {ground} {time}",
    "there is {style}{things} on {ground} {time}",
)
"""The first is the plain one; the others say the same in other words."""


def caption(scene: Scene, wording: int | None = 0, *, seed: int = 0) -> str:
    """Describe a scene.

    Args:
        scene: What to describe.
        wording: Index into `WORDINGS`; None draws one, and with it whether what goes without saying is said
            ("a photo of", "matte").
        seed: For the draw.

    Returns:
        The caption, in lower case and without a full stop. Wording 0 names every attribute but "plain" and "matte".
    """
    rng = random.Random(seed)  # noqa: S311  wordings, not secrets
    index = rng.choices(range(len(WORDINGS)), weights=(4, 1, 1, 1, 1))[0] if wording is None else wording
    say_photo = wording is not None or rng.random() < 0.6  # noqa: PLR2004  more often than not
    say_matte = wording is None and rng.random() < 0.3  # noqa: PLR2004  now and then
    style = "" if scene.style == "photo" and not say_photo else f"a {scene.style} of "
    first, *others = (_noun_phrase(thing, say_matte=say_matte) for thing in scene.things)
    things = first
    if scene.relation is not None:
        things += f" {_RELATION_PHRASES[scene.relation]} {others[0]}"
    if len(others) > 1:
        things += f", with {others[1]} behind them"
    return WORDINGS[index].format(style=style, things=things, ground=scene.ground, time=TIME_PHRASES[scene.time])


_RELATION_PHRASES: Final[dict[Relation, str]] = {
    "left": "to the left of",
    "right": "to the right of",
    "behind": "behind",
}


def _noun_phrase(thing: Thing, *, say_matte: bool) -> str:
    words = [thing.color, thing.shape]
    if thing.pattern != "plain":
        words.insert(0, thing.pattern)
    if thing.finish != "matte" or say_matte:
        words.insert(0, thing.finish)
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def vocabulary() -> list[str]:
    """Every word a caption can hold, sorted."""
    phrases = [*TIME_PHRASES.values(), *_RELATION_PHRASES.values(), *STYLES, *SHAPES, *COLORS, *PATTERNS[1:], *FINISHES]
    phrases += [*GROUNDS, "a an of on standing there is with behind them the"]
    return sorted({word for phrase in phrases for word in phrase.split()})


_RIVALS: Final = (STYLES, FINISHES, PATTERNS[1:], COLORS, SHAPES, GROUNDS, tuple(TIME_PHRASES.values()))
"""Terms of which a caption has at most one at each place."""


def rivals(prompt: str) -> Iterator[tuple[str, str, str]]:
    """A prompt with one of its terms replaced by another of its kind, for every term and every other.

    Yields:
        The term, the other, and the prompt with it.
    """
    for terms in _RIVALS:
        for term in terms:
            for found in re.finditer(rf"\b{term}\b", prompt):
                for other in terms:
                    if other != term:
                        swapped = f"{prompt[: found.start()]}{other}{prompt[found.end() :]}"
                        yield term, other, re.sub(r"\ban?\b(?= (\w))", _article, swapped)


def _article(before: re.Match[str]) -> str:
    return "an" if before[1] in "aeiou" else "a"


THING_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "shape": SHAPES,
    "color": COLORS,
    "pattern": PATTERNS,
    "finish": FINISHES,
}
_SCENE_WORDS: Final[dict[str, tuple[str, ...]]] = {"ground": GROUNDS, "time": TIMES, "style": STYLES}


def one_word_edits(scene: Scene) -> Iterator[tuple[str, Scene]]:
    """Every scene that differs in one attribute: the kind of the edit and the edited scene.

    Args:
        scene: Where to start.

    Yields:
        Kind ("shape", "color", "pattern", "finish", "ground", "time", "style" or "relation") and the edited scene; all
        nuisances, and all other attributes, stay.
    """
    for index, thing in enumerate(scene.things):
        for kind, changed in _swaps(thing, THING_WORDS):
            yield kind, dataclasses.replace(scene, things=(*scene.things[:index], changed, *scene.things[index + 1 :]))
    yield from _swaps(scene, _SCENE_WORDS)
    if scene.relation is not None:
        yield from _swaps(scene, {"relation": RELATIONS if len(scene.things) == 2 else RELATIONS[:2]})  # noqa: PLR2004  a pair


_Subject = TypeVar("_Subject", Thing, Scene)


def _swaps(subject: _Subject, words: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, _Subject]]:
    """A thing or a scene with one of its words replaced, for every other word of every kind."""
    for kind, others in words.items():
        for word in others:
            if word != getattr(subject, kind):
                yield kind, dataclasses.replace(subject, **{kind: word})


def near_misses(scene: Scene, count: int, rng: random.Random) -> list[Scene]:
    """Scenes with one word changed, every kind of word equally likely; some may be drawn twice."""
    by_kind: dict[str, list[Scene]] = {}
    for kind, edited in one_word_edits(scene):
        by_kind.setdefault(kind, []).append(edited)
    return [rng.choice(by_kind[rng.choice(list(by_kind))]) for _ in range(count)]
