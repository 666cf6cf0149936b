"""Mutual self-attention against its published formula."""

from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from nulltext.attention.control import Attention
from nulltext.attention.keys_values import MutualSelfAttention
from nulltext.attention.sites import Site, attention_modules, self_attention_layers
from nulltext.attention.steering import Steering
from nulltext.models.base import Model

LAYERS = [
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1",
    "mid_block.attentions.0.transformer_blocks.0.attn1",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn1",
    "up_blocks.1.attentions.1.transformer_blocks.0.attn1",
]


class Passing:
    """Notes the self-attention layers in the order in which they are passed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def wants(self, site: Site, step: int) -> bool:
        self.names += [site.name] if site.kind == "self" else []
        return False

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        raise NotImplementedError


class LookAtSource:
    """What the method says, with nothing of the package: keys and values are made of the source's states."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        assert encoder_hidden_states is None
        sources = hidden_states[[0, 0, 0, 3, 3, 3]]
        return AttnProcessor2_0()(attn, hidden_states, sources, attention_mask, temb)


@pytest.fixture
def question(model: Model) -> Any:
    """Three prompts in both branches, all of different latents."""
    x = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return x, 500.0, model.embed(["", "", "", "a cat", "a dog", "a red dog"])


def steered(model: Any, question, control, step: int):
    with torch.no_grad():
        return model.predict(*question, [(6, Steering(control, prompts=3, latent_size=(8, 8)).at(step))])


def test_layers_are_counted_as_they_are_passed(model: Model, question):
    passing = Passing()
    steered(model, question, passing, 0)
    assert self_attention_layers(model.denoiser) == passing.names == LAYERS
    assert MutualSelfAttention.of(model.denoiser, first_layer=2).layers == set(LAYERS[2:])


def test_targets_look_at_the_sources_keys_and_values_in_both_branches(model: Model, question):
    control = MutualSelfAttention.of(model.denoiser, first_step=3, first_layer=1)
    found = steered(model, question, control, 3)
    modules = {name: module for name, module in attention_modules(model.denoiser).items() if name in LAYERS[1:]}
    before = {name: module.processor for name, module in modules.items()}
    try:
        for module in modules.values():
            module.set_processor(LookAtSource())
        with torch.no_grad():
            expected = model.predict(*question)
    finally:
        for name, module in modules.items():
            module.set_processor(before[name])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        plain = model.predict(*question)
    torch.testing.assert_close(found[[0, 3]], plain[[0, 3]], rtol=1e-4, atol=1e-5)  # the source looks at itself
    assert ((found - plain).abs().amax((1, 2, 3))[[1, 2, 4, 5]] > 1e-4).all()


@pytest.mark.parametrize(("first_step", "first_layer"), [(4, 0), (0, 4)])
def test_before_its_step_and_behind_the_last_layer_nothing_is_done(
    model: Model, question, first_step: int, first_layer: int
):
    control = MutualSelfAttention.of(model.denoiser, first_step=first_step, first_layer=first_layer)
    with torch.no_grad():
        assert torch.equal(steered(model, question, control, 3), model.predict(*question))


def test_in_joint_attention_the_text_stays_the_targets_own():
    """Both sites of such a layer have its name."""
    control = MutualSelfAttention(frozenset({"attn"}), 0)
    assert control.wants(Site("attn", "self", 4, 4, one_size=True), 0)
    assert not control.wants(Site("attn", "cross", 4, 4, one_size=True), 0)
