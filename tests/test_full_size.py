"""The full-size architectures with random weights, on the CPU: gigabytes and minutes, so marked slow."""

import gc

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

import nulltext
from nulltext import CaptionSwap, Inversion, NullText

LEVELS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
UNET = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}
FAMILIES = {
    "1.5": {
        "unet": UNET | {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        "text": {
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "hidden_act": "quick_gelu",
        },
        "scheduler": (PNDMScheduler, {"skip_prk_steps": True, "set_alpha_to_one": False}),
        "size": (512, 512), "prediction": "epsilon", "parameters": 860e6,
    },
    "2.1": {
        "unet": UNET | {
            "sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        "text": {
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16,
            "hidden_act": "gelu",
        },
        "scheduler": (
            DDIMScheduler, {"prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": False}
        ),
        "size": (768, 768), "prediction": "v_prediction", "parameters": 866e6,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_size_architecture_goes_through_everything(family, tokenizer_builder, tmp_path):
    described = FAMILIES[family]
    tokenizer = tokenizer_builder(77)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # half the memory while the random weights are drawn
    try:
        unet = UNet2DConditionModel(**described["unet"])
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            scaling_factor=0.18215,
        )  # fmt: skip
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408, max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **described["text"],
            )
        )  # fmt: skip
    finally:
        torch.set_default_dtype(before)
    assert sum(weight.numel() for weight in unet.parameters()) == pytest.approx(described["parameters"], rel=0.01)
    scheduler, options = described["scheduler"]
    StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler(**LEVELS, **options),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(tmp_path / "model")  # fmt: skip
    del unet, vae, text_encoder
    gc.collect()

    model = nulltext.load(tmp_path / "model", device="cpu", dtype=torch.bfloat16)
    assert (model.default_size, model.prediction) == (described["size"], described["prediction"])
    # A quarter of the family's area: the network is the same, and the test takes minutes rather than an hour.
    half = (described["size"][0] // 2, described["size"][1] // 2)
    photo = nulltext.open_image(Image.effect_noise((300, 200), 60).convert("RGB"), model, size=half)
    inversion = NullText(steps=2, inner_steps=1)(model, photo, "a red ball on grass")
    assert inversion.pivot.shape == (3, 4, half[0] // 8, half[1] // 8)
    assert inversion.nulls.shape == (2, 77, described["unet"]["cross_attention_dim"])
    assert inversion.nulls.isfinite().all()
    assert not torch.equal(inversion.nulls[0], inversion.nulls[1])
    path = inversion.save(tmp_path / "a.safetensors")
    edit = CaptionSwap()(model, Inversion.load(path), "a blue ball on grass")
    assert edit.image.size == (300, 200)
    assert edit.pixels.isfinite().all()
