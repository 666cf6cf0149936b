"""Every family with every inverter and every editor: a pair runs, or one sentence says why it has no meaning."""

import itertools
from functools import cache
from typing import Any

import pytest
from PIL import Image
from tests.models.tiny.families import FAMILIES, PROMPT, TARGET

from nulltext.editing.table import EDITORS
from nulltext.errors import NulltextError
from nulltext.inversion.table import INVERTERS
from nulltext.spelling.fields import fields_of
from nulltext.tables import word_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:the model was made for images"),  # the tiny ones, of less pixels
]
SMALL: dict[str, Any] = {
    "steps": 2, "inner_steps": 1, "sequential_steps": 1, "iterations": 1, "cutouts": 2, "views": 2, "width": 8,
    "samples": 1}  # fmt: skip
NEEDS_NULL = {
    "null-text", "negative-prompt", "global-null-text", "random-pivot", "no-pivot", "open-loop", "textual-inversion"
}  # fmt: skip
DRAWS = {"prompt-swap", "masactrl", "sdedit", "from-noise", "blended-diffusion"}
WORDS = {"prompt-to-prompt": "sees no words", "inpaint": "is shown no mask"}
EMBEDDINGS = {"text-diff": "is told of a prompt's words", "inpaint": "is shown no mask"}
ASKS_CLIP = {"vqgan-clip", "text2live"}
"""Editors that leave a family to its autoencoder: how they do with each is not a matter of the family."""
STEERED = [word for word in EDITORS if word not in ASKS_CLIP]


def refusals(name):
    """Of each method that a family refuses, words of the sentence that says why."""
    row = FAMILIES[name]
    inverters = dict.fromkeys(NEEDS_NULL, "is distilled") if name.startswith("flux") else {}
    draws = {} if row.draws else dict.fromkeys(DRAWS, "has no prior")
    return inverters | draws | (EMBEDDINGS if row.words else WORDS)


def small(table, word, **more):
    """A method with the smallest settings."""
    cls, given = table[word].load(), SMALL | more
    return cls(**{each.name: given[each.name] for each in fields_of(cls) if each.name in given})


def tried(attempt):
    """What an attempt gives, or the sentence with which it is refused."""
    try:
        return attempt()
    except NulltextError as error:
        return str(error)


@pytest.fixture(scope="module")
def inverted(tiny):
    """The image of a family's model, inverted by a method."""

    @cache
    def of(name, word):
        return tried(lambda: small(INVERTERS, word)(tiny(name).model, tiny(name).source, PROMPT))

    return of


def holds(tiny, inverted, name, inverter, editor):
    """A pair runs, or one of the two is refused, in words of its own."""
    refused, family, inversion = refusals(name), tiny(name), inverted(name, inverter)
    if inverter in refused:
        assert isinstance(inversion, str)
        assert refused[inverter] in inversion
        return
    assert word_of(INVERTERS, inversion.method) == inverter
    way = small(EDITORS, editor, mask=Image.new("L", family.photograph.size, 255))
    edit = tried(lambda: way(family.model, inversion, TARGET))
    if isinstance(edit, str):
        assert editor in refused, edit
        assert refused[editor] in edit
        return
    assert editor not in refused
    assert edit.pixels.shape == family.source.pixels.shape
    assert edit.pixels.isfinite().all()
    assert edit.image.size == family.photograph.size


PAIRS = list(itertools.product(INVERTERS, STEERED))
SOME = [
    (name, *pair)
    for at, name in enumerate(FAMILIES)
    for pair in list(zip(INVERTERS, itertools.cycle(STEERED[at % 8 :] + STEERED[: at % 8]), strict=False))[at % 4 :: 4]
]
SOME.append(("flux schnell", "edit-friendly", "prompt-swap"))
"""Pairs of every family, so that all families together have every row of both tables several times."""


@pytest.mark.parametrize(("name", "inverter", "editor"), SOME)
def test_a_pair_runs_or_is_refused_in_a_sentence(tiny, inverted, name, inverter, editor):
    holds(tiny, inverted, name, inverter, editor)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_pair(tiny, inverted, name):
    for inverter, editor in PAIRS:
        holds(tiny, inverted, name, inverter, editor)
