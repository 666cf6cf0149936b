"""What is said of an inversion: each line from the figures behind it."""

import math
from dataclasses import replace

import pytest
import torch

from nulltext import DirectInversion, Inversion, open_image
from nulltext.editing.agreement import Agreement, Term, agreement
from nulltext.editing.maps import AttentionMaps
from nulltext.inversion.base import Scores
from nulltext.models.base import Model
from nulltext.web.verdict import BETTER_WITHOUT, COARSE, DOUBTED, FAITHFUL, Line, overall, shown, verdict

FINE = Term(term="ball", instead="cube", margin=0.1)
WRONG = Term(term="red", instead="blue", margin=DOUBTED - 0.01)


@pytest.fixture(scope="module")
def inversion(embedded: Model, sample: bytes, sample_prompt: str) -> Inversion:
    return DirectInversion(steps=1)(embedded, open_image(sample, embedded, fit="pad"), sample_prompt)


def line(lines: list[Line], about: str) -> Line | None:
    return next((each for each in lines if each.about == about), None)


@pytest.mark.parametrize(
    ("terms", "grade", "words", "instead"),
    [
        ((FINE,), "good", (), ()),
        ((WRONG, FINE, FINE), "fair", ("red",), ("blue",)),
        ((WRONG, replace(WRONG, term="snow", instead="grass"), FINE), "poor", ("red", "snow"), ("blue", "grass")),
        ((WRONG,), "fair", ("red",), ("blue",)),
        ((Term(term="red", instead="", margin=BETTER_WITHOUT - 0.01), FINE, FINE), "fair", ("red",), ("",)),
        ((replace(WRONG, margin=DOUBTED + 0.001), FINE), "good", (), ()),
    ],
)
def test_what_clip_doubts(inversion, terms, grade, words, instead):
    found = line(verdict(inversion, None, Agreement(cosine=0.5, terms=terms)), "agreement")
    assert found == Line(about="agreement", grade=grade, words=words, instead=instead)


def test_nothing_is_said_where_there_is_nothing_to_ask(inversion):
    assert line(verdict(inversion, None, None), "agreement") is None
    assert line(verdict(inversion, None, Agreement(cosine=0.5, terms=())), "agreement") is None


@pytest.mark.parametrize(
    ("bound", "psnr", "autoencoder", "reconstruction"),
    [
        (FAITHFUL, FAITHFUL, "good", "good"),
        (FAITHFUL - 0.1, FAITHFUL - 2, "fair", "fair"),
        (COARSE - 0.1, COARSE - 5, "poor", "poor"),
        (math.inf, 41.0, "good", "good"),
        (math.inf, 36.0, "good", "poor"),
    ],
)
def test_what_is_lost(inversion, bound, psnr, autoencoder, reconstruction):
    lines = verdict(replace(inversion, scores=Scores(vae_psnr=bound, psnr=psnr)), None, None, "it was not made for it")
    grades = {each.about: each.grade for each in lines}
    assert grades == {"size": "fair", "autoencoder": autoencoder, "reconstruction": reconstruction}
    assert overall(lines) == ("poor" if "poor" in grades.values() else "fair")


def test_what_fills_the_picture_is_not_shown_to_clip(inversion, embedded, sample_prompt):
    """The sample is 160 wide and 128 high, and padded."""
    pixels = shown(inversion)
    assert tuple(pixels.shape) == (1, 3, 102, 128)
    found = agreement(embedded, pixels, sample_prompt)
    assert found is not None
    assert found.cosine > 0.5


def test_a_word_that_looks_everywhere_counts_only_where_clip_says_nothing(embedded, inversion):
    tokens = embedded.tokenize(inversion.prompt)
    maps = torch.zeros(1, len(tokens.ids), 4, 4)
    maps[..., 0, 0] = 1
    maps[0, tokens.find("sunset")] = 0.1
    seen = AttentionMaps((tokens,), maps, shown(inversion))
    agreed, everywhere = Agreement(cosine=0.8, terms=(FINE,)), Line(about="words", grade="good", words=("sunset",))
    assert line(verdict(inversion, seen, agreed), "words") == everywhere
    assert line(verdict(inversion, seen, None), "words") == replace(everywhere, grade="fair")
