"""Another autoencoder, and learnt words, given beside a checkpoint."""

import json
import re
import shutil
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

import nulltext
from nulltext import DirectInversion, PromptSwap
from nulltext.errors import MismatchError, ModelLoadError, SettingError, UnsupportedPipelineError

PROMPT, TARGET = "a red ball on grass", "a blue ball on grass"


@pytest.fixture(scope="module")
def other_vae(folder, tmp_path_factory):
    """The folder of an autoencoder with other weights and another scale than the tiny model's."""
    made = tmp_path_factory.mktemp("vae") / "other"
    shutil.copytree(folder("epsilon") / "vae", made)
    network: Any = AutoencoderKL.from_pretrained(made)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.1)
    network.register_to_config(scaling_factor=0.5)
    network.save_pretrained(made)
    return made


def test_another_autoencoder_from_a_folder(folder, other_vae, model, source_image):
    with_it = nulltext.load(folder("epsilon"), device="cpu", vae=other_vae)
    theirs: Any = AutoencoderKL.from_pretrained(other_vae)
    with torch.no_grad():
        expected = theirs.encode(source_image.pixels).latent_dist.mode() * 0.5
    torch.testing.assert_close(with_it.encode(source_image.pixels), expected, rtol=1e-4, atol=1e-5)
    inversion = DirectInversion(steps=1)(with_it, source_image, PROMPT)
    assert [(each.kind, each.name) for each in inversion.model.additions] == [("vae", "other")]
    with pytest.raises(MismatchError, match=r"was made with epsilon0 \(sha256:\w+\) with --vae other \(sha256:"):
        PromptSwap()(model, inversion, TARGET)


def test_another_autoencoder_from_a_file_by_the_checkpoints_config(folder, other_vae, tmp_path, source_image):
    tensors = load_file(other_vae / "diffusion_pytorch_model.safetensors")
    path = tmp_path / "a.safetensors"
    save_file({**tensors, "loss.logvar": torch.zeros(1)}, path)
    with_it = nulltext.load(folder("epsilon"), device="cpu", vae=path)
    theirs: Any = AutoencoderKL.from_pretrained(other_vae)
    with torch.no_grad():
        expected = theirs.encode(source_image.pixels).latent_dist.mode() * 0.7  # the checkpoint's
    torch.testing.assert_close(with_it.encode(source_image.pixels), expected, rtol=1e-4, atol=1e-5)


def test_an_autoencoder_that_does_not_fit(folder, other_vae, tmp_path):
    def load(path):
        nulltext.load(folder("epsilon"), device="cpu", vae=path)

    config: Any = AutoencoderKL.load_config(other_vae)
    wide: Any = AutoencoderKL.from_config({**config, "latent_channels": 16})
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(UnsupportedPipelineError, match="have channels: 16; expected 4, as epsilon0 has it"):
        load(tmp_path / "wide")
    with pytest.raises(ModelLoadError, match=re.escape("has no config.json; expected a folder with an autoencoder")):
        load(folder("epsilon"))
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelLoadError, match="holds no autoencoder, but such as a"):
        load(tmp_path / "a.safetensors")
    shutil.copytree(other_vae, tmp_path / "tiny")
    config = tmp_path / "tiny" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "AutoencoderTiny"}))
    with pytest.raises(UnsupportedPipelineError, match="holds AutoencoderTiny; expected an AutoencoderKL"):
        load(tmp_path / "tiny")


@pytest.mark.parametrize("name", ["<toy>", "emb_params"])
def test_a_learnt_word_is_the_pipelines(name, folder, tmp_path):
    vectors, path = torch.randn(3, 32, generator=torch.Generator().manual_seed(1)), tmp_path / "<toy>.safetensors"
    save_file({name: vectors}, path)
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        folder("epsilon"), safety_checker=None, requires_safety_checker=False
    )
    pipeline.load_textual_inversion({"<toy>": vectors}, token="<toy>")  # noqa: S106
    model = nulltext.load(folder("epsilon"), device="cpu", embedding=path)
    expected, _ = pipeline.encode_prompt("a red <toy>", torch.device("cpu"), 1, do_classifier_free_guidance=False)
    torch.testing.assert_close(model.embed(["a red <toy>"]).text, expected)
    assert model.tokenize("a red <toy>").find("toy") == [3, 4, 5]
    assert "with --embedding <toy>.safetensors (sha256:" in str(model.identity)


def test_a_learnt_word_for_both_encoders_of_stable_diffusion_xl(tmp_path, xl_builder):
    xl_builder().save_pretrained(tmp_path / "xl")
    generator, path = torch.Generator().manual_seed(1), tmp_path / "toy.safetensors"
    tensors = {"clip_l": torch.randn(2, 32, generator=generator), "clip_g": torch.randn(2, 48, generator=generator)}
    save_file(tensors, path)
    pipeline: Any = StableDiffusionXLPipeline.from_pretrained(tmp_path / "xl", add_watermarker=False)
    for name, end in (("clip_l", ""), ("clip_g", "_2")):
        parts = {part: getattr(pipeline, f"{part}{end}") for part in ("tokenizer", "text_encoder")}
        pipeline.load_textual_inversion(tensors[name], token="toy", **parts)  # noqa: S106
    model = nulltext.load(tmp_path / "xl", device="cpu", embedding=[path])
    expected, _, pooled, _ = pipeline.encode_prompt("a red toy", device="cpu")
    torch.testing.assert_close(model.embed(["a red toy"]).text, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.embed(["a red toy"]).pooled, pooled, rtol=1e-4, atol=1e-4)
    save_file({"toy": torch.ones(2, 32)}, path)
    with pytest.raises(UnsupportedPipelineError, match=r"vectors for 1 text encoder\(s\); expected 2, as xl has"):
        nulltext.load(tmp_path / "xl", device="cpu", embedding=path)


def test_a_file_that_teaches_no_word(folder, tmp_path):
    def load(tensors, name="toy"):
        save_file(tensors, path := tmp_path / f"{name}.safetensors")
        nulltext.load(folder("epsilon"), device="cpu", embedding=path)

    with pytest.raises(UnsupportedPipelineError, match="has vectors of width 768; expected 32, as epsilon0 has it"):
        load({"emb_params": torch.ones(768)})
    for tensors in ({"a": torch.ones(1, 32), "b": torch.ones(1, 32)}, {"a": torch.ones(1, 2, 32)}, {}):
        with pytest.raises(ModelLoadError, match="holds no learnt word"):
            load(tensors)
    with pytest.raises(SettingError, match=r"of the word 'a toy'; expected one without blanks"):
        load({"emb_params": torch.ones(32)}, "a toy")
    with pytest.raises(SettingError, match=r"but epsilon0 has 'cat</w>' already"):
        load({"cat</w>": torch.ones(32)})
