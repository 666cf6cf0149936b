"""Stage 3: the noise predictor, on cached latents, conditioned by the frozen text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer

from nulltext.scenes.captions import caption
from nulltext.scenes.world import Scene
from nulltext.training.clip import WIDTH
from nulltext.training.loop import Run, fit
from nulltext.training.precision import FAST_ATTENTION, autocast, group_norm_in_fp32, linear_weights

BATCH: Final = 32
NO_CAPTION_SHARE: Final = 0.1
"""Captions replaced by the empty one, for classifier-free guidance (Ho and Salimans, 2022)."""
THING_WEIGHT: Final = 3.0
"""Things weigh 1 + this in the loss: they cover a sixth of an image and hold most of what a caption says."""
UNIFORM_SHARE: Final = 0.25
"""Timesteps drawn uniformly. The rest are logit-normal (Esser et al., 2024, section 3.1), which spends less on the
last, nearly clean steps, where the caption says nothing any more."""
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


def timesteps(generator: torch.Generator) -> Tensor:
    """One batch of timesteps as shares of the schedule, [BATCH] in [0, 1).

    Stratified, one from each of BATCH equal slices of the distribution: less noise in the loss than independent draws.
    """
    slices = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
    uniform = torch.arange(BATCH) % round(1 / UNIFORM_SHARE) == 0
    return torch.where(uniform, slices, torch.special.ndtri(slices).sigmoid()).clamp(max=1 - 1e-6)


def train(
    latents: Tensor,
    masks: Tensor,
    scenes: Sequence[Scene],
    *,
    text_model: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    run: Run,
) -> UNet2DConditionModel:
    """Train the noise predictor: eps-prediction (Ho et al., 2020, equation 14) with min-SNR weighting.

    Args:
        latents: [n, 4, 16, 16], scaled to unit variance.
        masks: [n, 128, 128] uint8, the visible share of the things.
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
    side = latents.shape[-1]
    cover = torch.cat([functional.adaptive_avg_pool2d(m[:, None] / 255, side) for m in masks.split(1024)])
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
        t = (timesteps(generator) * len(alphas_cumprod)).long().to(device)
        alpha2 = alphas_cumprod[t][:, None, None, None]
        x = alpha2.sqrt() * x0 + (1 - alpha2).sqrt() * eps
        with autocast(device), sdpa_kernel(FAST_ATTENTION[device.type]):
            predicted = module(x.to(memory_format=torch.channels_last), t, text).sample
        snr = alpha2 / (1 - alpha2)
        error = snr.clamp(max=MIN_SNR) / snr * (predicted.float() - eps).square()
        weight = 1 + THING_WEIGHT * cover[index].to(device)
        return (weight * error).mean() / weight.mean()

    model = group_norm_in_fp32(build())
    if run.start is not None:
        model.load_state_dict(UNet2DConditionModel.from_pretrained(run.start / "unet").state_dict())
    model = model.to(device, memory_format=torch.channels_last)
    average = fit(run, "unet", model, loss, lr=1e-3, matrices=linear_weights(model))
    unet = build()
    unet.load_state_dict(average.state_dict())
    return unet.to(device).eval().requires_grad_(requires_grad=False)
