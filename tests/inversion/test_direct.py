import pytest
import torch

from nulltext import (
    DDIM,
    DirectInversion,
    FixedPoint,
    Inversion,
    NullText,
    PromptSwap,
    PromptToPrompt,
    attention_maps,
    reconstruct,
)
from nulltext.bench.cost import measured
from nulltext.errors import SettingError

PROMPT = "a red ball on grass"


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return DirectInversion(steps=5)(any_model, source_image, PROMPT)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_the_source_is_as_good_as_the_autoencoder_at_any_guidance(any_model, inversion, source_image):
    exact = any_model.decode(inversion.pivot[-1:])
    assert inversion.scores.psnr == inversion.scores.vae_psnr
    for w in (None, 1.0, 12.0):
        torch.testing.assert_close(reconstruct(any_model, inversion, w), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("editor", [PromptSwap(), PromptToPrompt(), PromptToPrompt(guidance=3.0)], ids=str)
def test_every_editor_holds_the_source(any_model, inversion, editor):
    edit = editor(any_model, inversion, ["a dog on grass", "a cat on grass"])
    torch.testing.assert_close(edit.source, any_model.decode(inversion.pivot[-1:]), rtol=0, atol=1e-5)
    assert not torch.allclose(edit.pixels[0], edit.source[0], atol=1e-2)


def test_maps_are_those_of_the_source(any_model, inversion):
    maps = attention_maps(any_model, inversion)
    torch.testing.assert_close(maps.pixels, any_model.decode(inversion.pivot[-1:]), rtol=0, atol=1e-5)


def test_the_pivot_is_that_of_ddim_inversion(any_model, source_image, inversion):
    for fixed_point in (None, FixedPoint(iterations=2)):
        direct = DirectInversion(steps=5, fixed_point=fixed_point)(any_model, source_image, PROMPT)
        assert torch.equal(direct.pivot, DDIM(steps=5, fixed_point=fixed_point)(any_model, source_image, PROMPT).pivot)
    assert torch.equal(inversion.pivot, DDIM(steps=5, fixed_point=FixedPoint())(any_model, source_image, PROMPT).pivot)


def test_it_is_ddim_inversion_with_the_source_held(any_model, source_image, inversion):
    """The flag in the file and the editor's setting do the same."""
    drifting = DDIM(steps=5, fixed_point=FixedPoint())(any_model, source_image, PROMPT)
    w = inversion.guidance
    corrected = PromptToPrompt(guidance=w, correct_source=True)(any_model, drifting, "a dog on grass")
    torch.testing.assert_close(PromptToPrompt()(any_model, inversion, "a dog on grass").pixels, corrected.pixels)


def test_one_evaluation_a_step_and_none_with_a_gradient(model, source_image):
    _, cost = measured(model, lambda: DirectInversion(steps=6)(model, source_image, PROMPT))
    assert (cost.forwards, cost.backwards) == (7, 0)  # one more, where the first step begins


def test_the_file_says_that_the_source_is_held(model, source_image, tmp_path):
    direct = DirectInversion(steps=2)(model, source_image, PROMPT)
    back = Inversion.load(direct.save(tmp_path / "direct.safetensors"))
    assert (back.replay.corrected, back.method, back.guidance) == ("source", "DirectInversion", model.guidance)
    ddim = Inversion.load(DDIM(steps=2)(model, source_image, PROMPT).save(tmp_path / "ddim.safetensors"))
    assert ddim.replay.corrected == "nobody"
    assert NullText(steps=2, inner_steps=1)(model, source_image, PROMPT).replay.corrected == "nobody"


def test_the_guidance_is_the_models_own_unless_it_is_given(model, source_image):
    assert DirectInversion(steps=2)(model, source_image, PROMPT).settings["guidance"] == model.guidance
    assert DirectInversion(steps=2, guidance=3.0)(model, source_image, PROMPT).guidance == 3.0


def test_settings_out_of_range(model, source_image):
    with pytest.raises(SettingError, match="steps"):
        DirectInversion(steps=0)(model, source_image, PROMPT)
