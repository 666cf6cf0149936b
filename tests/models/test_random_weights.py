from typing import get_args

import pytest
import torch

from nulltext.models import architectures
from nulltext.models.architectures import ARCHITECTURES
from nulltext.models.random_weights import network_of, random_model


def test_every_name_is_of_an_architecture():
    assert get_args(architectures.Name) == tuple(ARCHITECTURES)


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_networks_are_as_large_as_the_published_ones(family):
    architecture = ARCHITECTURES[family]
    path, config = architecture.networks[architecture.denoiser]
    with torch.device("meta"):
        network = network_of(path, dict(config))
    assert sum(weight.numel() for weight in network.parameters()) == architecture.parameters


def test_a_model_of_random_weights_gives_a_gradient():
    """Of Stable Diffusion XL's classes, as small as they go."""
    model = random_model("sdxl", device="cpu", dtype="float32", tiny=True)
    assert (model.default_size, model.identity.revision) == ((64, 64), "random")
    cond = model.embed(["a red ball"])
    text = cond.text.requires_grad_()
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(model.predict(x, 500.0, cond.with_text(text)).square().sum(), text)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
