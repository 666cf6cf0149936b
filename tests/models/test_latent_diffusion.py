"""A second family: latent diffusion, with a text encoder and a tokenizer of another kind."""

import string
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LDMTextToImagePipeline, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from safetensors.torch import load_file
from transformers import BertTokenizer

import nulltext
from nulltext.errors import PromptTooLongError

PROMPT = "a red ball on grass"
LENGTH = 24


def build_pipeline(folder):
    """Of some 300 thousand random weights, for images of 64 x 64 with latents of 8 x 8."""
    torch.manual_seed(0)
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "ball", "on", "grass", *letters]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    sizes: Any = {"encoder_layers": 1, "encoder_ffn_dim": 37, "encoder_attention_heads": 4, "d_model": 32}
    bert = LDMBertModel(LDMBertConfig(vocab_size=len(words), max_position_embeddings=LENGTH, head_dim=8, **sizes))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    autoencoder: Any = AutoencoderKL  # which annotates tuples of any length as tuples of one
    vqvae = autoencoder(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    scheduler = DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False)
    return LDMTextToImagePipeline(vqvae=vqvae, bert=bert.eval(), tokenizer=tokenizer, unet=unet, scheduler=scheduler)


@pytest.fixture(scope="module")
def spot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ldm")
    build_pipeline(folder).save_pretrained(folder / "saved")
    return folder / "saved"


@pytest.fixture(scope="module")
def ldm(spot):
    return nulltext.load(spot, device="cpu")


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


def test_its_weights_are_known_by_their_content(ldm, spot):
    assert ldm.identity.revision.startswith("sha256:")
    path = spot / "bert" / "config.json"
    path.write_text(path.read_text() + "\n")
    assert not nulltext.load(spot, device="cpu").identity.same_weights(ldm.identity)


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
