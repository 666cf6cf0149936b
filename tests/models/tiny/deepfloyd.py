"""DeepFloyd IF, its stage I."""

from typing import Any

import torch
from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel

SIDE, WIDTH = 32, 48


def build_pipeline(t5):
    """Of some 200 thousand random weights, with maps of 16 x 16 and a middle that looks at the text alone."""
    torch.manual_seed(0)
    network: Any = UNet2DConditionModel  # which annotates tuples of any length as tuples of one
    unet = network(
        sample_size=SIDE,
        in_channels=3,
        out_channels=6,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        attention_head_dim=8,
        cross_attention_dim=32,
        cross_attention_norm="group_norm",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        mid_block_only_cross_attention=True,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        encoder_hid_dim=WIDTH,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
    )
    with torch.no_grad():
        unet.conv_out.weight *= 0.05  # with more, steps backwards have no one solution, as they have in trained ones
    text_encoder, tokenizer = t5(WIDTH)
    ddpm: Any = DDPMScheduler
    published = ddpm(
        beta_schedule="squaredcos_cap_v2",
        clip_sample=True,
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=1.5,
        variance_type="learned_range",
    )
    pipeline: Any = IFPipeline
    return pipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        unet=unet,
        scheduler=published,
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )
