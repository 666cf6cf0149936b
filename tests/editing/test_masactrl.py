"""MasaCtrl: what it looks at, when, and that edits do not see each other."""

import dataclasses
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from nulltext import DDIM, DirectInversion, MasaCtrl, NullText, PromptSwap, PromptToPrompt, edit_many
from nulltext.attention.control import Attention
from nulltext.attention.sites import Site, attention_modules, self_attention_layers
from nulltext.errors import EmptyPromptError, MismatchError, SessionError, SettingError

PROMPT, TARGET = "a cat on grass", "a red dog on grass"


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return DirectInversion(steps=4, guidance=4.0)(any_model, source_image, PROMPT)


@pytest.fixture(scope="module")
def ddim(any_model, source_image):
    return DDIM(steps=4)(any_model, source_image, PROMPT)


def attention(*, branches):
    """Three prompts whose queries are alike, as those of the same latents are, and whose keys and values are not."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(branches, 1, 2, 16, 8, generator=generator).expand(-1, 3, -1, -1, -1)
    key, value = torch.randn(2, branches, 3, 2, 16, 8, generator=generator)
    return Attention(query=query, key=key, value=value, scale=8**-0.5)


@pytest.mark.parametrize("branches", [1, 2])
def test_with_the_sources_latents_self_attention_gives_what_it_gives_the_source(any_model, branches):
    control: Any = MasaCtrl().control(any_model, 50)
    before = attention(branches=branches)
    site = Site(self_attention_layers(any_model.denoiser)[-1], "self", 4, 4)
    assert control.wants(site, 4)
    plain, seen = before.output(), control(before, site, 4).output()
    torch.testing.assert_close(seen, plain[:, :1].expand_as(plain))
    assert ((plain - plain[:, :1]).abs().amax((0, 2, 3, 4))[1:] > 0.1).all()


def test_shares_are_the_published_numbers_on_50_steps_and_16_layers(any_model, pipeline_builder):
    blocks = {
        "block_out_channels": (8,) * 4,
        "layers_per_block": 2,
        "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    }
    network = pipeline_builder(**blocks).unet
    assert isinstance(network, UNet2DConditionModel)
    layers = self_attention_layers(network)
    sixteen = dataclasses.replace(any_model, unet=dataclasses.replace(any_model.unet, network=network))
    control = MasaCtrl().control(sixteen, 50)
    assert len(layers) == 16
    assert control.first_step == 4
    assert control.layers == set(layers[10:])
    assert {name.split(".")[1] for name in control.layers} == {"2", "3"}, "the last two levels on the way up"


@pytest.mark.parametrize("settings", [{"start": 1.0}, {"start_layer": 1.0}])
def test_where_nothing_is_left_to_look_at_it_is_plain_sampling(any_model, inversion, settings):
    edit, plain = MasaCtrl(**settings)(any_model, inversion, TARGET), PromptSwap()(any_model, inversion, TARGET)
    assert torch.equal(edit.pixels, plain.pixels)
    assert torch.equal(edit.source, plain.source)


@pytest.mark.parametrize(("any_model", "guidance"), [("epsilon", 4.0), ("v_prediction", 1.0)], indirect=["any_model"])
def test_it_looks_at_the_source(any_model, inversion, guidance):
    plain = PromptSwap(guidance=guidance)(any_model, inversion, TARGET).pixels
    late = MasaCtrl(guidance=guidance, start=0.75)(any_model, inversion, TARGET).pixels
    early = MasaCtrl(guidance=guidance, start=0.0, start_layer=0.0)(any_model, inversion, TARGET).pixels
    assert 0 < (late - plain).abs().max() < (early - plain).abs().max()


def test_two_edits_in_one_batch_do_not_see_each_other(any_model, inversion):
    editor, seen = MasaCtrl(start=0.0, start_layer=0.0), {}
    for other in ("a blue ball", PROMPT):
        seen[other] = editor(any_model, inversion, [TARGET, other])
    first, second = seen.values()
    assert torch.equal(first.pixels[0], second.pixels[0])
    assert not torch.equal(first.pixels[1], second.pixels[1])
    single = editor(any_model, inversion, TARGET)
    torch.testing.assert_close(first.pixels[:1], single.pixels, rtol=1e-3, atol=1e-3)


def test_the_source_is_held_for_inversions_that_do_not_correct_it(any_model, ddim):
    exact = any_model.decode(ddim.pivot[-1:])
    corrected, drifting = (MasaCtrl(correct_source=on, guidance=7.5)(any_model, ddim, TARGET) for on in (True, False))
    torch.testing.assert_close(corrected.source, exact, rtol=0, atol=1e-5)
    assert (drifting.source - exact).abs().max() > 1e-3
    assert not torch.equal(corrected.pixels, drifting.pixels)
    assert ddim.replay.corrected == "nobody"
    assert corrected.settings == (MasaCtrl(guidance=7.5, negative_prompt=""),)


def test_it_shares_batches_with_prompt_to_prompt(any_model, inversion, ddim):
    jobs = [
        (MasaCtrl(), inversion, [TARGET, "a blue ball"]),
        (PromptToPrompt(), inversion, "a dog on grass"),
        (MasaCtrl(start=0.5, guidance=3.0), ddim, TARGET),
    ]
    single, rows = [editor(any_model, *job) for editor, *job in jobs], []
    handle = any_model.denoiser.register_forward_hook(lambda _, __, output: rows.append(len(output.sample)))
    before = [module.processor for module in attention_modules(any_model.denoiser).values()]
    batched = dict(edit_many(any_model, jobs))
    handle.remove()
    assert rows == [6 + 4 + 4] * 4
    for index, edit in batched.items():
        torch.testing.assert_close(edit.pixels, single[index].pixels, rtol=0, atol=1e-4)
        assert edit.settings == single[index].settings
    after = [module.processor for module in attention_modules(any_model.denoiser).values()]
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_what_is_wrong_is_said(any_model, inversion, source_image, pipeline_builder):
    with pytest.raises(SettingError, match="start_layer"):
        MasaCtrl(start_layer=1.5)
    with pytest.raises(EmptyPromptError, match="got no prompt"):
        MasaCtrl()(any_model, inversion, [])
    nulled = NullText(steps=2, inner_steps=1)(any_model, source_image, PROMPT)
    with pytest.raises(MismatchError, match="guidance"):
        MasaCtrl(guidance=3.0)(any_model, nulled, TARGET)
    blind = pipeline_builder(
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, mid_block_type=None
    ).unet
    unseeing = dataclasses.replace(any_model, unet=dataclasses.replace(any_model.unet, network=blind))
    with pytest.raises(SessionError, match="attention"):
        MasaCtrl()(unseeing, inversion, TARGET)
