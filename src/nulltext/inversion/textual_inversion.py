"""Textual inversion: the caption's embedding is optimised, not the null caption's.

Gal et al., arXiv 2208.01618, in the form that Mokady et al., arXiv 2211.09794, section 4, compare null-text inversion
with: the whole conditional embedding, for one picture. What is drawn for it need not follow the caption's words any
longer, so that editing by words suffers.
"""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from nulltext.checks import Count, Guidance, Rate, Seed, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone, predict
from nulltext.diffusion.guidance import Guided, guide
from nulltext.diffusion.levels import NoiseLevel, Prediction, combine, split
from nulltext.diffusion.sampling import inverting, sampling
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError
from nulltext.inversion.base import Inversion, finish
from nulltext.inversion.descent import Descent
from nulltext.inversion.global_null_text import optimise_one
from nulltext.inversion.random_pivot import draw_noise, random_trajectory
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Embeddings, Latents, Null


@final
@dataclass(frozen=True, kw_only=True)
class TextualInversion:
    """One conditional embedding, optimised under guidance with the null caption left as it is.

    Without a pivot each iteration draws a fresh noise and one of the sampler's times, and sampling starts from
    ``z_T = alpha z_0 + sigma noise`` with the first noise of the seed, as in `NoPivot`. With one, the iterations pass
    along the trajectory of plain DDIM inversion as those of `GlobalNullText` do, and sampling starts from its z_T.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N; there are T N steps of Adam.
        guidance: The weight w, of the optimisation and of every use of the result; None is the model's own.
        pivot: Whether there is a pivot.
        learning_rate: Adam's.
        seed: Of all noise; without meaning if there is a pivot.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    inner_steps: Count = 10
    guidance: Guidance | None = None
    pivot: bool = False
    learning_rate: Rate = 1e-2
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.guidance == 0:
            raise SettingError("got guidance=0, at which the caption has no part; expected another. 7.5 is usual.")

    def __call__(self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent) -> Inversion:
        """Inverts a photograph; see `nulltext.inversion.base.Inverter`.

        Raises:
            SettingError: `steps` is out of range for the model.
            CaptionError: The caption is empty, too long, or has an unknown word.
            DivergedError: Numbers became infinite or not-a-number.
        """
        return alone(model, self.inverting(model, photo, caption, on_progress))

    def inverting(
        self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent
    ) -> Evaluations[Inversion]:
        """The inversion at work; see `nulltext.inversion.base.Inverter`."""
        w = model.guidance if self.guidance is None else self.guidance
        schedule = model.schedule(self.steps)
        cond, null, x0 = embed_captions(model, [caption]), model.embed([""]), model.encode(photo.pixels)
        if self.pivot:
            pivot = yield from inverting(Guided(model, cond, 1.0), schedule, x0, null, on_progress)
            cond = yield from optimise_one(
                model.prediction,
                schedule,
                pivot,
                cond,
                other=null,
                mix=lambda of_null: partial(guide, of_null, guidance=w),
                passes=self.inner_steps,
                learning_rate=self.learning_rate,
                on_progress=on_progress,
            )
        else:
            generator = torch.Generator().manual_seed(self.seed)
            pivot = random_trajectory(x0, schedule, generator)
            cond = yield from self.optimise(
                Guided(model, cond, w), schedule, x0, null, generator=generator, on_progress=on_progress
            )
        drawn = yield from sampling(Guided(model, cond, w), schedule, pivot[:1], [null] * len(schedule), on_progress)
        return finish(
            self,
            model,
            photo,
            caption=caption,
            guidance=w,
            schedule=schedule,
            pivot=pivot,
            nulls=None,
            cond=cond[0],
            reconstruction=drawn,
        )

    def optimise(
        self,
        guided: Guided,
        schedule: Schedule,
        x0: Latents,
        null: Null,
        *,
        generator: torch.Generator,
        on_progress: OnProgress = silent,
    ) -> Evaluations[Embeddings]:
        """ArXiv 2211.09794, eq. 4: the noise in z_t is to be told for every noise and every time.

        The prediction is the guided one, since that is what sampling will follow; in the equation it is the caption's
        alone, which is the case w = 1 of this.

        Args:
            guided: What predicts, under w and the source caption, where the optimisation starts.
            schedule: T intervals; the times are theirs.
            x0: [1, C, h, w] the picture's latents z_0.
            null: [1, L, D] the null caption's embedding.
            generator: On the CPU; a time and a noise are drawn from it at every iteration.
            on_progress: Told of every iteration, phase "optimise", with its loss.

        Returns:
            [1, L, D] the optimised embedding.
        """
        model, w, total = guided.model, guided.guidance, len(schedule) * self.inner_steps
        descent = Descent(guided.cond, self.learning_rate)
        for done in range(1, total + 1):
            interval = schedule[int(torch.randint(len(schedule), (), generator=generator))]
            noise = draw_noise(x0, generator)
            z = combine(x0, noise, interval.noisy)
            of_null = yield from predict(z, interval.t, null)
            error = partial(
                _error, z=z, noise=noise, level=interval.noisy, of_null=of_null, w=w, prediction=model.prediction
            )
            loss = yield from descent.step(z, interval.t, error)
            on_progress(Progress("optimise", done, total, loss.item()))
        return descent.embedding


def _error(
    of_cond: Latents,
    *,
    z: Latents,
    noise: Latents,
    level: NoiseLevel,
    of_null: Latents,
    w: float,
    prediction: Prediction,
) -> Tensor:
    """How far the noise that the guided output tells is from the one that is in z, a scalar."""
    _, eps = split(z, guide(of_null, of_cond, w), level, prediction)
    return mse_loss(eps, noise)
