"""What several pipelines have: an autoencoder, a T5, and CLIP's two towers."""

from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)


def build_autoencoder(**own):
    """For images of 64 x 64 with latents of 4 channels and 8 x 8, with what is a family's own in its config."""
    autoencoder: Any = AutoencoderKL  # which annotates tuples of any length as tuples of one
    return autoencoder(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        **own,
    )


def build_t5(width):
    """A T5 of that width and its tokenizer, which knows a few words and else the letters."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", "▁red", "▁ball", "▁on", "▁grass", *"abcdefghijklmnopqrstuvwxyz"]
    vocab: Any = [(piece, -float(at > 2)) for at, piece in enumerate(pieces)]
    tokenizer = T5Tokenizer(vocab=vocab, extra_ids=0)
    sizes: Any = {"d_model": width, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
    config = T5Config(vocab_size=len(tokenizer), relative_attention_num_buckets=8, **sizes)
    return T5EncoderModel(config).eval(), tokenizer


def build_clip(tokenizer, width):
    """CLIP's two towers, whose embeddings have so many numbers, and what fits images to the second."""
    torch.manual_seed(1)
    layers: dict[str, Any] = {"intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    } | {"vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.model_max_length}
    text = CLIPTextConfig(hidden_size=width, projection_dim=width, **layers, **tokens)
    vision = CLIPVisionConfig(hidden_size=24, projection_dim=width, image_size=32, patch_size=8, **layers)
    fitting: Any = CLIPImageProcessorPil  # which stands for the other where torchvision is not there
    return SimpleNamespace(
        text=CLIPTextModelWithProjection(text).eval(),
        vision=CLIPVisionModelWithProjection(vision).eval(),
        processor=fitting(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    )
