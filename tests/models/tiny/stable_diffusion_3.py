"""Stable Diffusion 3, with T5 and without."""

from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tests.models.tiny.encoders import build_autoencoder
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

LENGTH, WIDTH = 24, 48


def build_pipeline(tokenizer, t5=None):
    """Of some 400 thousand random weights, for images of 64 x 64 with latents of 8 x 8, which are 4 x 4 tokens."""
    torch.manual_seed(0)
    marks = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}

    def clip(width, projection):
        sizes: Any = {"hidden_size": width, "projection_dim": projection, "intermediate_size": 32, **marks}
        layers: Any = {"num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": LENGTH}
        return CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=len(tokenizer), **sizes, **layers)).eval()

    encoder: Any = (None, None) if t5 is None else t5(WIDTH)
    network = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=24 + 16,
        pos_embed_max_size=8,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    with torch.no_grad():  # untrained, it would hear the pooled text alone
        network.time_text_embed.text_embedder.linear_2.weight.mul_(0.1)
    vae = build_autoencoder(scaling_factor=1.5, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False)
    return StableDiffusion3Pipeline(
        transformer=network,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=clip(24, 24),
        tokenizer=tokenizer,
        text_encoder_2=clip(16, 16),
        tokenizer_2=tokenizer,
        text_encoder_3=encoder[0],
        tokenizer_3=encoder[1],
    )
