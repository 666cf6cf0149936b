from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from nulltext.models.base import Model
from nulltext.models.clip import Clip
from nulltext.models.loading import load


@pytest.fixture(scope="session")
def any_model(request: pytest.FixtureRequest, folder: Callable[[str], Path]) -> Model:
    """A tiny epsilon model: no editor looks at what is predicted. One test of each editor asks for both kinds."""
    return load(folder(getattr(request, "param", "epsilon")), device="cpu")


@pytest.fixture(scope="session")
def clip(tokenizer_builder) -> Clip:
    """A tiny CLIP of random weights, for images of 32 x 32 in patches of 8."""
    torch.manual_seed(1)
    tokenizer = tokenizer_builder(24)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    network = CLIPModel(
        CLIPConfig(
            text_config={
                **layers,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": 24,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
            vision_config={**layers, "image_size": 32, "patch_size": 8},
            projection_dim=16,
        )
    )
    return Clip(network, tokenizer)


@pytest.fixture
def untouched(model, clip):
    """Makes sure that a test leaves all weights as they were, without gradients, and the global generator alone."""
    parts = [model.denoiser, model.autoencoder.network, model.text.network, clip.model]
    before = [weight.clone() for part in parts for weight in part.state_dict().values()]
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)
    after = [weight for part in parts for weight in part.state_dict().values()]
    assert all(map(torch.equal, before, after))
    assert all(weight.grad is None and not weight.requires_grad for part in parts for weight in part.parameters())
