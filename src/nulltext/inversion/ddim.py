"""DDIM inversion: the sampler run backwards, under the assumption that the network says the same on both ends of a step."""

from dataclasses import asdict, dataclass
from typing import final

import torch

from nulltext.diffusion.levels import renoise
from nulltext.diffusion.sampling import predict_guided, sample
from nulltext.diffusion.schedule import Schedule
from nulltext.inversion.base import Inversion, finish
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Embeddings, Latents


def trajectory(
    model: Model,
    schedule: Schedule,
    z0: Latents,
    null: Embeddings,
    cond: Embeddings,
    guidance: float,
    on_progress: OnProgress = silent,
) -> Latents:
    """DDIM inversion: arXiv 2211.09794, section 3.1 and eq. 3 (Dhariwal and Nichol, arXiv 2105.05233, section F).

    The network is told the time of the noisier end, as in the authors' code and in diffusers.

    Args:
        model: What predicts.
        schedule: The intervals, in sampling order; they are walked in reverse.
        z0: [1, C, h, w] the picture's latents.
        null: [1, L, D] the null caption's embedding.
        cond: [1, L, D] the caption's embedding.
        guidance: The weight w; 1 is the plain inversion.
        on_progress: Told of every step, phase "invert".

    Returns:
        [T+1, C, h, w] from z_T to z_0.
    """
    z = [z0]
    with torch.no_grad():
        for step, interval in enumerate(reversed(schedule), start=1):
            output = predict_guided(model, z[-1], interval.t, null, cond, guidance)
            z.append(renoise(z[-1], output, interval, model.prediction))
            on_progress(Progress("invert", step, len(schedule)))
    return torch.cat(z[::-1])


@final
@dataclass(frozen=True, kw_only=True)
class DDIM:
    """Plain DDIM inversion.

    With w = 1 the trajectory leads back to a picture close to the source, at w = 1; under the guidance that editing
    needs it drifts away. With w > 1 the guidance amplifies every step's error already on the way to noise.

    Attributes:
        steps: T.
        guidance: The weight w of the inversion, and of the reconstruction unless another is asked for.
    """

    steps: int = 50
    guidance: float = 1.0

    def __call__(self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent) -> Inversion:
        """Inverts a photograph; see `nulltext.inversion.base.Inverter`.

        Raises:
            SettingError: `steps` is out of range.
            CaptionError: The caption is empty, too long, or has an unknown word.
            DivergedError: Numbers became infinite or not-a-number.
        """
        schedule = model.schedule(self.steps)
        cond, null = embed_captions(model, [caption]), model.embed([""])
        z0 = model.encode(photo.pixels)
        pivot = trajectory(model, schedule, z0, null, cond, self.guidance, on_progress)
        drawn = sample(model, schedule, pivot[:1], cond, [null] * len(schedule), self.guidance, on_progress)
        return finish(
            model,
            photo,
            caption=caption,
            pivot=pivot,
            nulls=None,
            guidance=self.guidance,
            method="DDIM",
            settings=asdict(self),
            schedule=schedule,
            reconstruction=drawn,
        )
