"""What an architecture costs, counted without weights, against the same networks at work."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nulltext.models import counting
from nulltext.models.architectures import ARCHITECTURES
from nulltext.models.counting import count
from nulltext.models.random_weights import network_of


@pytest.mark.parametrize("family", ["sdxl", "sd35m", "flux"])
def test_counts_what_a_network_does(monkeypatch, family):
    whole = ARCHITECTURES[family]
    networks = {name: (path, whole.at(name, whole.tiny)) for name, (path, _) in whole.networks.items()}
    tiny = replace(whole, networks=networks, side=64)
    monkeypatch.setattr(counting, "ARCHITECTURES", {family: tiny})
    counted = count(family)

    denoiser = network_of(*networks[whole.denoiser])
    text, besides = counting._question(denoiser, tiny)
    filled = {
        name: {key: torch.zeros_like(each) for key, each in value.items()}
        if isinstance(value, dict)
        else torch.zeros_like(value)
        for name, value in besides.items()
    }
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # a CPU's fused one is not counted
        denoiser(encoder_hidden_states=torch.zeros_like(text), **filled)
    assert counted.denoiser == sum(weight.numel() for weight in denoiser.parameters())
    assert counted.forward == counter.get_total_flops()
    assert counted.backward > 0 < counted.saved
    assert counted.text_encoders > 0 < counted.autoencoder
