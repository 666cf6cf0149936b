"""Stable Diffusion XL."""

from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from tests.models.tiny.encoders import build_autoencoder
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

LENGTH, WIDTHS, POOLED = 24, (32, 48), 40
"""The second encoder is wider than the first, and pooled text has a width of its own: none can stand for another."""


def build_pipeline(tokenizer_builder, prediction="epsilon", *, zeros=True, channels=4):
    """Of some 500 thousand random weights, for images of 64 x 64 with latents of 8 x 8."""
    torch.manual_seed(0)
    tokenizer, other = tokenizer_builder(LENGTH), tokenizer_builder(LENGTH)
    other.pad_token = "!"  # noqa: S105  as in the checkpoints: the two pad differently
    settings: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    } | {
        "vocab_size": len(tokenizer) + 1,  # room for a word more
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "projection_dim": POOLED,
    }
    network: Any = UNet2DConditionModel  # which annotates tuples of any length as tuples of one, as does the next
    unet = network(
        sample_size=8,
        in_channels=channels,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=sum(WIDTHS),
        attention_head_dim=(4, 8),
        transformer_layers_per_block=(2, 1),
        use_linear_projection=True,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=POOLED + 6 * 8,
    )
    with torch.no_grad():
        unet.conv_out.weight *= 0.2  # with less, steps backwards have no one solution, as they have in trained networks
    vae = build_autoencoder(scaling_factor=0.13025)
    ddim: Any = DDIMScheduler
    scheduler = ddim(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(hidden_size=WIDTHS[0], **settings)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(
            CLIPTextConfig(hidden_size=WIDTHS[1], hidden_act="gelu", **settings)
        ).eval(),
        tokenizer=tokenizer,
        tokenizer_2=other,
        unet=unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )
