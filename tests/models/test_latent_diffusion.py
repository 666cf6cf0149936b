"""A second family: latent diffusion, with a text encoder and a tokenizer of another kind."""

import shutil
from typing import Any

import pytest
import torch
from diffusers import LDMTextToImagePipeline
from safetensors.torch import load_file
from tests.models.tiny.latent_diffusion import LENGTH

import nulltext
from nulltext.errors import PromptTooLongError

FAMILY = "latent diffusion"
PROMPT = "a red ball on grass"


@pytest.fixture(scope="module")
def ldm(made):
    return made.model


def test_draws_what_the_pipeline_draws(ldm, spot):
    pipeline: Any = LDMTextToImagePipeline.from_pretrained(spot)
    pipeline.set_progress_bar_config(disable=True)
    # The pipeline pads every prompt to 77 tokens, whatever its text encoder reads.
    noted = pipeline.tokenizer
    pipeline.tokenizer = lambda texts, **settings: noted(texts, **{**settings, "max_length": LENGTH})
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    theirs = pipeline(PROMPT, num_inference_steps=5, guidance_scale=6.0, latents=noise, output_type="pt").images
    ours = nulltext.generate(ldm, PROMPT, steps=5, guidance=6.0, seed=3)
    torch.testing.assert_close(ours / 2 + 0.5, theirs, rtol=0, atol=1e-4)


def test_an_image_is_inverted_and_its_words_changed(ldm, image, tmp_path):
    source_image = nulltext.open_image(image, ldm)
    inversion = nulltext.NullText(steps=4, inner_steps=2)(ldm, source_image, PROMPT)
    back = nulltext.Inversion.load(inversion.save(tmp_path / "ball.safetensors"))
    edit = nulltext.PromptToPrompt(cross_attention=0.5)(ldm, back, "a blue ball on grass")
    torch.testing.assert_close(edit.source, nulltext.reconstruct(ldm, inversion), rtol=0, atol=1e-4)
    assert (edit.pixels - edit.source).abs().max() > 1e-3
    assert edit.kinds == ("replace",)


def test_words_are_found_among_its_tokens(ldm):
    tokens = ldm.tokenize("A red cat")
    assert tokens.words() == [[1], [2], [3, 4, 5]]
    assert ldm.null().text.shape == (1, LENGTH, 32)
    with pytest.raises(PromptTooLongError, match="Leave out"):
        ldm.embed(["red " * LENGTH])


def test_its_weights_are_known_by_their_content(ldm, spot, tmp_path):
    assert ldm.identity.revision.startswith("sha256:")
    folder = shutil.copytree(spot, tmp_path / "a")
    path = folder / "bert" / "config.json"
    path.write_text(path.read_text() + "\n")
    assert not nulltext.load(folder, device="cpu").identity.same_weights(ldm.identity)


def test_a_lora_is_merged_into_denoiser_and_text_encoder(ldm, spot, tmp_path, write_lora):
    path = write_lora(tmp_path / "a.safetensors", LDMTextToImagePipeline.from_pretrained(spot), "peft")
    with_it = nulltext.load(spot, device="cpu", lora=path)
    tensors, changed = load_file(path), 0
    for name, down in tensors.items():
        if name.startswith("unet.") and name.endswith(".lora_A.weight"):
            layer, up = name.split(".", 1)[1].removesuffix(".lora_A.weight"), tensors[name.replace("lora_A", "lora_B")]
            before, after = (each.denoiser.get_parameter(f"{layer}.weight") for each in (ldm, with_it))
            expected = (up.flatten(1) @ down.flatten(1)).reshape(before.shape)
            torch.testing.assert_close(after - before, expected, rtol=0, atol=1e-5)
            changed += 1
    assert changed > 4
