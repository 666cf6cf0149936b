"""Guidance on the way to noise, and on the way back: which of the four combinations reconstruct, and why."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from nulltext.bench.candidates import Candidate, Outcome, always
from nulltext.bench.measures import clip_measures, source_measures
from nulltext.bench.report import Column, Report
from nulltext.bench.run import run
from nulltext.bench.studies import Setting
from nulltext.inversion.methods.ddim import DDIM
from nulltext.models.base import Model
from nulltext.types import Latents

PICTURES = 32
Statistic = Callable[[Latents], torch.Tensor]
COLUMNS = (
    Column(name="psnr_source", label="PSNR, dB"),
    Column(name="ssim_source", label="SSIM", digits=3),
    Column(name="clip_image_source", label="CLIP Img2Img", digits=3),
    Column(name="noise_mean", label="mean of z_T", digits=3, better=""),
    Column(name="noise_variance", label="variance of z_T", digits=3, better=""),
    Column(name="noise_kurtosis", label="kurtosis of z_T", better=""),
    Column(name="noise_correlation", label="correlation of neighbours in z_T", digits=3, better=""),
)


def compare_guidance(model: Model, setting: Setting) -> Report:
    """DDIM inversion at w = 1 and at the full weight, each drawn again at w = 1 and at the full weight.

    Args:
        model: The model.
        setting: How to run it; 32 pictures if it sets no limit.
    """
    weights = (1.0, setting.weight(model))
    candidates = [
        Candidate(
            name=f"inverted at w={there:g}, drawn at w={back:g}",
            inverter=always(DDIM(steps=setting.steps, guidance=there)),
            editor=None,
            guidance=back,
        )
        for there in weights
        for back in weights
    ]
    measures = {
        **source_measures(),
        "clip_image_source": clip_measures(setting.clip)["clip_image_source"],
        "noise_mean": partial(_of_noise, statistic=torch.mean),
        "noise_variance": partial(_of_noise, statistic=torch.var),
        "noise_kurtosis": partial(_of_noise, statistic=kurtosis),
        "noise_correlation": partial(_of_noise, statistic=correlation),
    }
    rows = run(
        model,
        setting.entries(model, PICTURES),
        candidates,
        measures,
        setting.folder,
        workers=setting.workers,
        on_progress=setting.on_progress,
    )
    return Report(
        title="Guidance in inversion and in sampling",
        command=setting.command("guidance", model),
        options=setting.options(model),
        columns=COLUMNS,
        rows=rows,
    )


def kurtosis(z: Latents) -> torch.Tensor:
    """The fourth moment over the squared second: 3 for Gaussian noise."""
    centred = z - z.mean()
    return centred.pow(4).mean() / centred.square().mean().square()


def correlation(z: Latents) -> torch.Tensor:
    """The mean correlation of cells with their neighbours to the right and below, channel by channel: 0 for noise."""
    centred = functional.layer_norm(z, z.shape[-2:])  # of every channel, to mean 0 and variance 1
    right = (centred[..., :, 1:] * centred[..., :, :-1]).mean()
    below = (centred[..., 1:, :] * centred[..., :-1, :]).mean()
    return (right + below) / 2


def _of_noise(outcome: Outcome, *, statistic: Statistic) -> float:
    return statistic(outcome.inversion.pivot[:1]).item()
