import re

import pytest
import torch
from safetensors import torch as safetensors
from transformers import ViTConfig, ViTModel

from nulltext.errors import ModelLoadError
from nulltext.metrics import Missing
from nulltext.models import embedded
from nulltext.models.dino import VIT_B_8, Dino


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return ViTModel(
        ViTConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            image_size=32,
            patch_size=8,
        )
    )


@pytest.fixture
def folder(vit, tmp_path):
    vit.save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.fixture
def pixels():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def loaded(folder) -> Dino:
    made = Dino.load(folder)
    assert isinstance(made, Dino)
    return made


@pytest.mark.parametrize(
    ("size", "patches"),
    [((32, 32), 28 * 28), ((512, 512), 28 * 28), ((48, 32), 42 * 28), ((32, 48), 28 * 42), ((300, 100), 60 * 20)],
    ids=str,
)
def test_the_shorter_side_is_224_and_the_longer_at_most_480(folder, size, patches):
    keys = loaded(folder).keys(torch.zeros(1, 3, *size))
    assert keys.shape == (1, 1 + patches, 24)


def test_an_image_does_not_depend_on_its_batch(folder, pixels):
    dino = loaded(folder)
    torch.testing.assert_close(dino.keys(pixels)[1:], dino.keys(pixels[1:]), rtol=0, atol=1e-5)


def test_leaves_no_hook_behind(folder, pixels):
    dino = loaded(folder)
    dino.keys(pixels)
    assert not any(layer._forward_hooks for layer in dino.model.modules())


def test_weights_named_as_on_the_hub(vit, folder, pixels):
    """DINO was uploaded when transformers named its layers otherwise."""
    file = folder / "model.safetensors"
    earlier = {
        r"^layers\.": "encoder.layer.",
        r"attention\.q_proj": "attention.attention.query",
        r"attention\.k_proj": "attention.attention.key",
        r"attention\.v_proj": "attention.attention.value",
        r"attention\.o_proj": "attention.output.dense",
        r"mlp\.fc1": "intermediate.dense",
        r"mlp\.fc2": "output.dense",
    }
    renamed = {}
    for name, weight in safetensors.load_file(file).items():
        for now, then in earlier.items():
            name = re.sub(now, then, name)  # noqa: PLW2901  one renaming after another
        renamed[name] = weight
    expected = loaded(folder).keys(pixels)
    safetensors.save_file(renamed, file, metadata={"format": "pt"})
    assert torch.equal(loaded(folder).keys(pixels), expected)


@pytest.mark.parametrize("name", [VIT_B_8, "no-such-folder"])
def test_missing_where_it_is_not_on_this_machine(name, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    answer = Dino.load(name)
    assert isinstance(answer, Missing)
    assert name in answer.reason
    assert "hf download" in answer.reason


def test_another_network_is_no_dino():
    with pytest.raises(ModelLoadError, match="weights are missing"):
        Dino.load(embedded.CLIP)


def test_damaged_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelLoadError, match="damaged"):
        Dino.load(folder)
