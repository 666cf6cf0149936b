import dataclasses

import diffusers
import pytest
import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.models import random_weights
from nulltext.models.random_weights import ARCHITECTURES, SDXL_UNET, random_model

SMALL = {
    "sample_size": 16,
    "block_out_channels": (32, 32, 64),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (2, 2, 4),
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
}


def weights(settings):
    with torch.device("meta"):
        return sum(weight.numel() for weight in diffusers.UNet2DConditionModel(**settings).parameters())


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_networks_are_as_large_as_the_published_ones(family):
    architecture = ARCHITECTURES[family]
    assert weights(architecture.unet) == architecture.parameters
    assert architecture.text["hidden_size"] == architecture.unet["cross_attention_dim"]


def test_sdxl_lacks_only_the_layer_for_pooled_text_and_sizes():
    of_pooled = (2816 + 1) * 1280 + (1280 + 1) * 1280
    assert weights(SDXL_UNET) == 2_567_463_684
    assert weights(SDXL_UNET) - ARCHITECTURES["sdxl"].parameters == of_pooled


def test_a_model_of_sdxls_shape_gives_a_gradient(monkeypatch):
    whole = ARCHITECTURES["sdxl"]
    small = dataclasses.replace(
        whole,
        unet=dict(whole.unet) | SMALL,
        text=dict(whole.text) | {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4},
    )
    monkeypatch.setattr(random_weights, "ARCHITECTURES", {"sdxl": small})
    model = random_model("sdxl", device="cpu", dtype="float32")
    assert model.default_size == (128, 128)
    text = model.embed(["a red ball"]).text.requires_grad_()
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(model.predict(x, 500.0, Conditioning(text=text)).square().sum(), text)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
