"""Sampling: the schedule walked from noise to picture under guidance."""

from collections.abc import Sequence
from typing import Protocol

import torch

from nulltext.diffusion.guidance import guide
from nulltext.diffusion.levels import Prediction, denoise
from nulltext.diffusion.schedule import Schedule
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Embeddings, Latents


class Denoiser(Protocol):
    """Anything that predicts the noise in latents."""

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns."""
        ...

    def predict(self, x: Latents, t: int, text: Embeddings) -> Latents:
        """The network's output for latents `x` at time `t` under `text`, all with the same batch size."""
        ...


def predict_guided(model: Denoiser, x: Latents, t: int, null: Embeddings, cond: Embeddings, guidance: float) -> Latents:
    """The network's output under guidance, both halves in one pass; at w=1 the null half is not needed and not computed.

    Args:
        model: What predicts.
        x: [B, C, h, w] latents.
        t: The time the network is told.
        null: [B, L, D] or [1, L, D] null embedding.
        cond: [B, L, D] caption embeddings.
        guidance: The weight w.
    """
    if guidance == 1:
        return model.predict(x, t, cond)
    both = model.predict(torch.cat([x, x]), t, torch.cat([null.expand_as(cond), cond]))
    return guide(*both.chunk(2), guidance)


def sample(
    model: Denoiser,
    schedule: Schedule,
    x: Latents,
    cond: Embeddings,
    nulls: Sequence[Embeddings],
    guidance: float,
    on_progress: OnProgress = silent,
) -> Latents:
    """Deterministic DDIM sampling under classifier-free guidance.

    Args:
        model: What predicts.
        schedule: The intervals to pass, T of them.
        x: [B, C, h, w] latents at the first interval's noisy end.
        cond: [B, L, D] caption embeddings.
        nulls: T null embeddings, [1, L, D] each, in sampling order.
        guidance: The weight w.
        on_progress: Told of every step, phase "sample".

    Returns:
        [B, C, h, w] latents at the last interval's clean end.
    """
    with torch.no_grad():
        for step, (interval, null) in enumerate(zip(schedule, nulls, strict=True), start=1):
            output = predict_guided(model, x, interval.t, null, cond, guidance)
            x = denoise(x, output, interval, model.prediction)
            on_progress(Progress("sample", step, len(schedule)))
    return x
