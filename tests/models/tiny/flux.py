"""FLUX.1, dev and schnell."""

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from tests.models.tiny.encoders import build_autoencoder
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

WIDTH, POOLED = 32, 24
SHIFTED = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "shift": 3.0}


def build_pipeline(tokenizer, *, guided):
    """Of some 100 thousand random weights, for images of 64 x 64 with latents of 8 x 8, which are 4 x 4 tokens."""
    torch.manual_seed(0)
    marks = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    sizes: Any = {"hidden_size": POOLED, "intermediate_size": 32, "vocab_size": len(tokenizer), **marks}
    layers: Any = {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 24}
    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "▁a",
        "▁red",
        "▁blue",
        "▁ball",
        "▁on",
        "▁grass",
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    vocab: Any = [(piece, -float(at > 2)) for at, piece in enumerate(pieces)]
    words = T5Tokenizer(vocab=vocab, extra_ids=0)
    t5: Any = {"d_model": WIDTH, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
    network = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=guided,
    )
    vae = build_autoencoder(scaling_factor=1.5, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False)
    shifted: Any = SHIFTED if guided else {}
    pipeline = FluxPipeline(
        transformer=network,
        scheduler=FlowMatchEulerDiscreteScheduler(**shifted),
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(**sizes, **layers)).eval(),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=len(words), relative_attention_num_buckets=8, **t5)).eval(),
        tokenizer_2=words,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
