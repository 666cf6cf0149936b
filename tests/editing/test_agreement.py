"""Whether a prompt describes an image: CLIP beside other prompts, and where words look."""

import pytest
import torch
from PIL import Image

from nulltext.editing.agreement import agreement, content_words, peak
from nulltext.editing.maps import AttentionMaps
from nulltext.images import SourceImage, open_image
from nulltext.models.base import Model
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene

SCENE = sample_scene(HELD_OUT_SEEDS[50_014])


def pixels_of(scene: Scene) -> torch.Tensor:
    return render([scene], height=128, width=128).pixels[:1]


def test_the_right_prompt_beats_its_rivals_and_a_wrong_word_is_found(embedded: Model) -> None:
    pixels, right = pixels_of(SCENE), caption(SCENE)
    found = agreement(embedded, pixels, right)
    assert found is not None
    assert found.margin > 0
    assert {term.term for term in found.terms} >= {"white", "cube", "grass", "at sunset"}
    wrong = agreement(embedded, pixels, right.replace("cube", "mushroom"))
    assert wrong is not None
    assert (wrong.terms[0].term, wrong.terms[0].instead) == ("mushroom", "cube")
    assert wrong.margin < -0.05
    assert wrong.cosine < found.cosine


def test_where_kinds_are_not_known_each_word_is_left_out(embedded: Model) -> None:
    found = agreement(embedded, pixels_of(SCENE), caption(SCENE).replace("white", "black"), known=False)
    assert found is not None
    assert (found.terms[0].term, found.terms[0].instead) == ("black", "")
    assert found.margin < 0


def test_a_prompt_of_which_nothing_can_be_compared(embedded: Model) -> None:
    found = agreement(embedded, pixels_of(SCENE), "on the")
    assert found is not None
    assert (found.terms, found.margin) == ((), float("inf"))


def test_a_checkpoint_without_a_clip_says_nothing(model: Model, source_image: SourceImage) -> None:
    assert agreement(model, source_image.pixels, "a cat") is None


def test_content_words() -> None:
    assert content_words("A photo of a red ball, on the Red grass") == ["red", "ball", "grass"]


def test_a_peak_is_one_where_a_word_looks_everywhere_alike(model: Model, image: Image.Image) -> None:
    tokens = model.tokenize("a cat")
    maps = torch.full((1, 24, 4, 4), 0.01)
    maps[0, tokens.find("cat")] = 0.1
    alike = AttentionMaps((tokens,), maps, open_image(image, model).pixels)
    assert peak(alike, "cat") == pytest.approx(1)
    maps[0, tokens.find("cat")[0], 0, 0] = 3.1
    assert peak(AttentionMaps((tokens,), maps, alike.pixels), "cat") > 5
    maps[0, tokens.find("cat")] = 0
    assert peak(AttentionMaps((tokens,), maps, alike.pixels), "cat") == 0
