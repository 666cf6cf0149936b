"""Whatever a network is loaded from: weights that are missing, of another shape or of something else are named."""

import json
import shutil

import pytest
import torch
from diffusers import VQModel
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTModel

import nulltext
from nulltext.errors import ModelLoadError
from nulltext.models import embedded
from nulltext.models.clip import Clip
from nulltext.models.dino import Dino
from nulltext.models.vq import VQAutoencoder


def one_missing(weights):
    del weights[max(weights)]


def all_prefixed(weights):
    for name in list(weights):
        weights[f"text_encoder.{name}"] = weights.pop(name)


def one_reshaped(weights):
    name = min(name for name in weights if weights[name].ndim > 1)
    weights[name] = weights[name][:-1].clone()


def one_too_many(weights):
    weights["layers.99.weight"] = torch.zeros(2)


def lora_beside(weights):
    weights["mid.to_q.lora_A.default.weight"] = torch.zeros(2, 2)


def lora_inside(weights):
    name = max(weights)
    layer, kind = name.rsplit(".", 1)
    weights[f"{layer}.base_layer.{kind}"] = weights.pop(name)
    weights[f"{layer}.lora_B.default.weight"] = torch.zeros(2, 2)


FAULTS = {
    one_missing: r"1 of its weights are missing \(\S+\)",
    all_prefixed: r"of its weights are missing \(\S+, \S+, \S+, \.\.\.\); \d+ are none of its own \(text_encoder\.",
    one_reshaped: r"1 have another shape \(\S+ is \[.*\], expected \[",
    one_too_many: r"1 are none of its own \(layers\.99\.weight\)",
    lora_beside: r"saved with a LoRA that is not merged \(mid\.to_q\.lora_A\.default\.weight\).*fuse it first",
    lora_inside: r"saved with a LoRA that is not merged .*fuse it first",
}


def spoil(folder, fault, kind=".safetensors"):
    """Changes the weights in a part's folder, and writes them as .safetensors or, as they were before it, pickled."""
    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    fault(weights)
    if kind == ".safetensors":
        save_file(weights, path, metadata={"format": "pt"})
    else:
        path.unlink()
        name = "pytorch_model.bin" if path.stem == "model" else f"{path.stem}.bin"
        torch.save(weights, path.with_name(name))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Folders of the networks that stand beside a checkpoint, with how they are loaded."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("others")
    VQModel(block_out_channels=(8,), norm_num_groups=4).save_pretrained(path / "vq")
    ViTModel(
        ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16),
        add_pooling_layer=False,
    ).save_pretrained(path / "dino")
    shutil.copytree(embedded.CLIP, path / "clip")
    return {
        "vq": (path / "vq", VQAutoencoder.load),
        "dino": (path / "dino", Dino.load),
        "clip": (path / "clip", Clip.load),
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("kind", [".safetensors", ".bin"])
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_of_a_folder(folder, tmp_path, part, kind, fault):
    copy = shutil.copytree(folder("epsilon"), tmp_path / "copy")
    spoil(copy / part, fault, kind)
    with pytest.raises(ModelLoadError, match=rf"{part} .*{FAULTS[fault]}"):
        nulltext.load(copy, device="cpu")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("name", ["vq", "dino", "clip"])
def test_a_network_beside_a_checkpoint(others, tmp_path, name, fault):
    path, load = others[name]
    copy = shutil.copytree(path, tmp_path / "copy")
    spoil(copy, fault)
    with pytest.raises(ModelLoadError, match=FAULTS[fault]):
        load(copy)


def test_a_folder_that_says_it_has_an_adapter(folder, tmp_path):
    copy = shutil.copytree(folder("epsilon"), tmp_path / "copy")
    (copy / "text_encoder" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match="LoRA that is not merged"):
        nulltext.load(copy, device="cpu")


# ---- what is harmless


def positions(copy):
    spoil(
        copy / "text_encoder", lambda weights: weights.update({"text_model.embeddings.position_ids": torch.arange(3)})
    )


def text_projection(copy):
    spoil(copy / "text_encoder", lambda weights: weights.update({"text_projection.weight": torch.zeros(2, 2)}))


def text_model_prefix(copy):
    def prefix(weights):
        for name in list(weights):
            weights[f"text_model.{name.removeprefix('text_model.')}"] = weights.pop(name)

    spoil(copy / "text_encoder", prefix)


def earlier_attention(copy):
    earlier = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(weights):
        for name in [name for name in weights if ".attentions." in name]:
            new = name
            for now, then in earlier.items():
                new = new.replace(now, then)
            weights[new] = weights.pop(name)
        assert any("proj_attn" in name for name in weights)

    spoil(copy / "vae", rename)


@pytest.mark.parametrize("change", [positions, text_projection, text_model_prefix, earlier_attention])
def test_harmless_differences(folder, model, tmp_path, change):
    copy = shutil.copytree(folder("epsilon"), tmp_path / "copy")
    change(copy)
    loaded = nulltext.load(copy, device="cpu")
    assert torch.equal(loaded.embed(["a cat"]).text, model.embed(["a cat"]).text)
    pixels = torch.zeros(1, 3, 16, 16)
    assert torch.equal(loaded.encode(pixels), model.encode(pixels))


def test_a_config_that_describes_fewer_layers(folder, tmp_path):
    copy = shutil.copytree(folder("epsilon"), tmp_path / "copy")
    path = copy / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 1}))
    with pytest.raises(ModelLoadError, match=r"are none of its own \(\S*layers\.1"):
        nulltext.load(copy, device="cpu")
