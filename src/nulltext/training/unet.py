"""Stage 3: the noise predictor, on cached latents, conditioned by the frozen text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from nulltext.scenes.captions import caption
from nulltext.scenes.world import Scene
from nulltext.training.clip import WIDTH
from nulltext.training.loop import Run, fit
from nulltext.training.precision import autocast, group_norm_in_fp32

BATCH: Final = 32
NO_CAPTION_SHARE: Final = 0.1
"""Captions replaced by the empty one, for classifier-free guidance (Ho and Salimans, 2022)."""
MIN_SNR: Final = 5.0
"""Gamma of the min-SNR weighting (Hang et al., 2023, equation 8): weight min(SNR, gamma) / SNR on the error in eps."""


def build() -> UNet2DConditionModel:
    """The UNet, untrained: 64, 128, 192 channels at 16x16, 8x8 and 4x4, heads of 32, cross-attention at every size.

    Heads of 32: the fused bf16 attention kernel of the CPU is ten times slower for heads of 16 (torch 2.13).
    """
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        attention_head_dim=(2, 4, 6),  # diffusers' name for the number of heads
        norm_num_groups=16,
        cross_attention_dim=WIDTH,
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def train(
    latents: Tensor,
    scenes: Sequence[Scene],
    text_model: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    run: Run,
) -> UNet2DConditionModel:
    """Train the noise predictor: eps-prediction (Ho et al., 2020, equation 14) with min-SNR weighting.

    Args:
        latents: [n, 4, 16, 16], scaled to unit variance.
        scenes: What they show; every visit draws another wording.
        text_model: The frozen text tower.
        tokenizer: Its tokenizer.
        run: How to train.

    Returns:
        The averaged UNet.
    """
    device = run.device
    torch.manual_seed(run.seed)
    alphas_cumprod = build_scheduler().alphas_cumprod.to(device)
    text_model = text_model.to(device).eval().requires_grad_(requires_grad=False)

    def loss(module: UNet2DConditionModel, step: int) -> Tensor:
        rng = run.random(step)
        index = [rng.randrange(len(scenes)) for _ in range(BATCH)]
        captions = [
            "" if rng.random() < NO_CAPTION_SHARE else caption(scenes[i], None, seed=rng.randrange(1 << 30))
            for i in index
        ]
        tokens = tokenizer(captions, padding="max_length", return_tensors="pt").input_ids.to(device)
        with torch.no_grad():
            text = text_model(input_ids=tokens).last_hidden_state
        generator = torch.Generator().manual_seed(rng.randrange(1 << 60))
        x0 = latents[index].to(device)
        eps = torch.randn(x0.shape, generator=generator).to(device)
        # One timestep from each of BATCH equal slices of the schedule: less noise in the loss than independent draws.
        slices = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
        t = (slices * len(alphas_cumprod)).long().to(device)
        alpha2 = alphas_cumprod[t][:, None, None, None]
        x = alpha2.sqrt() * x0 + (1 - alpha2).sqrt() * eps
        with autocast(device):
            predicted = module(x.to(memory_format=torch.channels_last), t, text).sample
        snr = alpha2 / (1 - alpha2)
        return (snr.clamp(max=MIN_SNR) / snr * (predicted.float() - eps).square()).mean()

    model = group_norm_in_fp32(build())
    if run.start is not None:
        model.load_state_dict(UNet2DConditionModel.from_pretrained(run.start / "unet").state_dict())
    model = model.to(device, memory_format=torch.channels_last)
    average = fit(run, "unet", model, loss, lr=1e-3)
    unet = build()
    unet.load_state_dict(average.state_dict())
    return unet.to(device).eval().requires_grad_(requires_grad=False)
