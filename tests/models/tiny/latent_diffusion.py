"""Latent diffusion."""

import string
from typing import Any

import torch
from diffusers import DDIMScheduler, LDMTextToImagePipeline, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
from tests.models.tiny.encoders import build_autoencoder
from transformers import BertTokenizer

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
    vqvae = build_autoencoder()
    scheduler = DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False)
    return LDMTextToImagePipeline(vqvae=vqvae, bert=bert.eval(), tokenizer=tokenizer, unet=unet, scheduler=scheduler)
