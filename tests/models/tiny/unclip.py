"""unCLIP."""

from typing import Any

import torch
from diffusers import UnCLIPImageVariationPipeline, UnCLIPScheduler, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

LENGTH, WIDTH, CONTEXT = 24, 20, 16
"""Tokens of a prompt, numbers of an embedding, and of what attention looks at."""


def build_pipeline(tokenizer, clip):
    """Of random weights, for images of 16 x 16."""
    torch.manual_seed(0)
    network: Any = UNet2DConditionModel  # which annotates tuples of any length as tuples of one, as does the next
    decoder = network(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=CONTEXT,
        attention_head_dim=8,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",
    )
    projection = UnCLIPTextProjModel(clip_embeddings_dim=WIDTH, time_embed_dim=64, cross_attention_dim=CONTEXT)
    with torch.no_grad():
        decoder.conv_out.weight *= 0.1  # with less, steps backwards have no one solution, as trained networks have
        projection.learned_classifier_free_guidance_embeddings.normal_()  # which is zeros before it is learnt
        for layer in (projection.embedding_proj, projection.clip_image_embeddings_project_to_time_embeddings):
            layer.weight.mul_(0.1)  # untrained, it would hear the time embedding alone
    enlarging: Any = UNet2DModel
    larger = [
        enlarging(
            sample_size=32,
            in_channels=6,
            out_channels=3,
            block_out_channels=(8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"),
            up_block_types=("ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
        )
        for _ in range(2)
    ]
    scheduler: Any = UnCLIPScheduler
    return UnCLIPImageVariationPipeline(
        decoder=decoder,
        text_encoder=clip.text,
        tokenizer=tokenizer,
        text_proj=projection.eval(),
        feature_extractor=clip.processor,
        image_encoder=clip.vision,
        super_res_first=larger[0],
        super_res_last=larger[1],
        decoder_scheduler=scheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=scheduler(variance_type="fixed_small_log", prediction_type="epsilon"),
    )
