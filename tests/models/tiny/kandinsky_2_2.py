"""Kandinsky 2.2."""

from typing import Any

import torch
from diffusers import (
    DDPMScheduler,
    KandinskyV22CombinedPipeline,
    PriorTransformer,
    UnCLIPScheduler,
    UNet2DConditionModel,
    VQModel,
)

LENGTH, WIDTH = 24, 20
"""Tokens of a prompt, numbers of an embedding."""
DDIM: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "clip_sample": False,
    "thresholding": False,
}
"""What remains of the published scheduler, a DDPM that clips, where it is walked both ways."""


def build_pipeline(tokenizer, clip):
    """Of random weights, for images of 64 x 64 with latents of 8 x 8."""
    torch.manual_seed(0)
    network: Any = UNet2DConditionModel  # which annotates tuples of any length as tuples of one, as does the next
    unet = network(
        sample_size=8,
        in_channels=4,
        out_channels=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=16,
        attention_head_dim=8,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="image",
        encoder_hid_dim=WIDTH,
        encoder_hid_dim_type="image_proj",
    )
    with torch.no_grad():
        unet.conv_out.weight *= 0.1  # with less, steps backwards have no one solution, as they have in trained networks
    quantised: Any = VQModel
    movq = quantised(
        block_out_channels=(32, 32, 32, 32),  # of which its spatial norm makes 32 groups
        down_block_types=(*("DownEncoderBlock2D",) * 3, "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", *("UpDecoderBlock2D",) * 3),
        latent_channels=4,
        vq_embed_dim=4,
        norm_num_groups=4,
        norm_type="spatial",
        num_vq_embeddings=12,
    )
    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=12, num_layers=1, embedding_dim=WIDTH, num_embeddings=LENGTH
    )
    with torch.no_grad():
        prior.clip_std.fill_(0.5)  # which are learnt, and zeros before
        prior.clip_mean.normal_()
    ddpm: Any = DDPMScheduler
    return KandinskyV22CombinedPipeline(
        unet=unet,
        scheduler=ddpm(**DDIM | {"clip_sample": True, "thresholding": True, "variance_type": "learned_range"}),
        movq=movq,
        prior_prior=prior,
        prior_image_encoder=clip.vision,
        prior_text_encoder=clip.text,
        prior_tokenizer=tokenizer,
        prior_scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        prior_image_processor=clip.processor,
    )
