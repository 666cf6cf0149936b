"""Negative prompts: what stands in the null text's place, from the inversion to the edit."""

import re
from typing import Any

import diffusers
import pytest
import torch
from safetensors import safe_open

import nulltext
from nulltext import DDIM, DirectInversion, FromNoise, Inversion, MasaCtrl, NullText, PromptSwap, PromptToPrompt, SDEdit
from nulltext.errors import ImagesFailedError, MismatchError, PromptError, SettingError
from nulltext.inversion.methods.negative_prompt import NegativePrompt

PROMPT, TARGET, NEGATIVE = "a red ball on grass", "a blue ball on grass", "a dog, a photo"


@pytest.fixture(scope="module")
def inversion(model, source_image, tmp_path_factory):
    """A direct inversion with a negative prompt, as another process reads it."""
    path = tmp_path_factory.mktemp("negative") / "a.safetensors"
    DirectInversion(steps=2, negative_prompt=NEGATIVE)(model, source_image, PROMPT).save(path)
    return Inversion.load(path)


def test_generates_as_the_pipeline_does(model, folder):
    pipeline: Any = diffusers.StableDiffusionPipeline.from_pretrained(
        folder("epsilon"), safety_checker=None, requires_safety_checker=False
    )
    theirs = pipeline(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=2, generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).images  # fmt: skip
    ours = nulltext.generate(model, PROMPT, steps=2, negative_prompt=NEGATIVE)
    torch.testing.assert_close(ours / 2 + 0.5, theirs, rtol=1e-4, atol=1e-4)
    kept = nulltext.generate_inversion(model, PROMPT, steps=2, negative_prompt=NEGATIVE)
    torch.testing.assert_close(model.decode(kept.pivot[-1:]), ours, rtol=1e-4, atol=1e-4)
    assert kept.negative_prompt == NEGATIVE


@pytest.mark.parametrize("editor", [PromptSwap, PromptToPrompt, MasaCtrl, SDEdit, FromNoise])
def test_an_edit_is_led_away_from_what_the_file_says_unless_another_is_given(model, inversion, editor):
    assert inversion.negative_prompt == NEGATIVE
    by_file, none, other = (
        editor(**given)(model, inversion, TARGET)
        for given in ({}, {"negative_prompt": ""}, {"negative_prompt": "a cat"})
    )
    assert not torch.allclose(by_file.pixels, none.pixels, atol=1e-3)
    assert not torch.allclose(other.pixels, none.pixels, atol=1e-3)
    assert [edit.settings[0].negative_prompt for edit in (by_file, none, other)] == [NEGATIVE, "", "a cat"]


def test_null_text_begins_with_it_and_takes_no_other_afterwards(model, source_image):
    made = NullText(steps=2, inner_steps=1, negative_prompt=NEGATIVE)(model, source_image, PROMPT)
    nulls = made.replay.nulls
    assert nulls is not None
    near, far = model.embed([NEGATIVE]).text, model.null().text
    step = 2 * 1e-2  # one of Adam's, with room
    assert (nulls[:1] - near).abs().max() < step < (nulls[:1] - far).abs().max()
    assert torch.equal(
        PromptSwap(negative_prompt=NEGATIVE)(model, made, TARGET).pixels, PromptSwap()(model, made, TARGET).pixels
    )
    with pytest.raises(MismatchError, match=re.escape(f"were made for '{NEGATIVE}'. Leave it out")):
        PromptToPrompt(negative_prompt="a cat", correct_source=True)(model, made, TARGET)


def test_nothing_is_said_of_none_and_a_blank_one_is_none(model, source_image, tmp_path):
    plain, blank = (DDIM(steps=2, negative_prompt=text)(model, source_image, PROMPT) for text in ("", "  "))
    assert torch.equal(PromptSwap()(model, plain, TARGET).pixels, PromptSwap()(model, blank, TARGET).pixels)
    assert "negative" not in plain._repr_html_()
    with safe_open(plain.save(tmp_path / "a.safetensors"), framework="pt") as file:
        assert "negative_prompt" not in file.metadata()  # so that packages which know of none read it


def test_what_is_none_is_refused(model, source_image):
    with pytest.raises(SettingError, match="source prompt stands in its place; expected none"):
        NegativePrompt(negative_prompt=NEGATIVE)
    with pytest.raises(PromptError, match="bytes that are not UTF-8"):
        DDIM(negative_prompt="a\ud800")
    images = [(source_image, PROMPT)]
    with pytest.raises(ImagesFailedError, match="number 0, PromptTooLongError"):  # before any work
        next(nulltext.invert_many(model, DDIM(steps=2, negative_prompt="x" * 30), images))
