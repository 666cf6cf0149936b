"""Null-text inversion without a pivot.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4, "Null-text optimization without pivotal
inversion". Fresh noise at every iteration asks each null embedding to lead every noise to the one picture.
"""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch

from nulltext.checks import Count, Guidance, Seed, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone, predict
from nulltext.diffusion.guidance import Guided, guide
from nulltext.diffusion.levels import combine
from nulltext.diffusion.sampling import sampling
from nulltext.diffusion.schedule import Schedule
from nulltext.inversion.base import Inversion, finish
from nulltext.inversion.descent import Descent, GuidedStep
from nulltext.inversion.null_text import PUBLISHED, Constants, NullText
from nulltext.inversion.random_pivot import draw_noise, random_trajectory
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Latents, Null


@final
@dataclass(frozen=True, kw_only=True)
class NoPivot:
    """Null embeddings, one for each step, optimised under fresh noise at every iteration.

    The first noise of the seed is the one that sampling starts from, as ``z_T = alpha z_0 + sigma noise``, and
    `RandomPivot` with the same seed starts from the same. The trajectory in the result is that noise's; the
    optimisation, which draws all the following ones, makes no use of it.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, at most so many steps of Adam for each.
        guidance: The weight w, of the optimisation and of every use of the result; None is the model's own.
        constants: Learning rate and early stop.
        seed: Of all noise.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    inner_steps: Count = 10
    guidance: Guidance | None = None
    constants: Constants = PUBLISHED
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_numbers(self)
        NullText(steps=self.steps, inner_steps=self.inner_steps, guidance=self.guidance, constants=self.constants)

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
        schedule, generator = model.schedule(self.steps), torch.Generator().manual_seed(self.seed)
        cond, null, x0 = embed_captions(model, [caption]), model.embed([""]), model.encode(photo.pixels)
        pivot = random_trajectory(x0, schedule, generator)
        guided = Guided(model, cond, w)
        nulls = yield from self.optimise(guided, schedule, x0, null, generator=generator, on_progress=on_progress)
        drawn = yield from sampling(guided, schedule, pivot[:1], nulls, on_progress)
        return finish(
            self,
            model,
            photo,
            caption=caption,
            guidance=w,
            schedule=schedule,
            pivot=pivot,
            nulls=torch.cat(nulls),
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
    ) -> Evaluations[list[Null]]:
        """Algorithm 1 with both ends of each step made from z_0 and a fresh noise.

        Args:
            guided: What predicts, under the source caption and w.
            schedule: T intervals, in sampling order.
            x0: [1, C, h, w] the picture's latents z_0.
            null: [1, L, D] the null caption's embedding, where the optimisation starts.
            generator: On the CPU; a noise is drawn from it at every iteration.
            on_progress: Told of every step of the sampler, phase "optimise", with the last loss.

        Returns:
            T of [1, L, D], in sampling order.
        """
        model, cond, w, constants = guided.model, guided.cond, guided.guidance, self.constants
        nulls: list[Null] = []
        for i, interval in enumerate(schedule):
            descent = Descent(null, constants.rate_at(i))  # warm start from the previous step
            loss = torch.tensor(torch.nan)
            for _ in range(self.inner_steps):
                noise = draw_noise(x0, generator)
                z = combine(x0, noise, interval.noisy)
                eps_cond = yield from predict(z, interval.t, cond)
                step = GuidedStep(
                    z=z,
                    target=combine(x0, noise, interval.clean),
                    interval=interval,
                    prediction=model.prediction,
                    guide=partial(guide, cond=eps_cond, guidance=w),
                )
                loss = yield from descent.step(z, interval.t, step.error)
                if constants.done(loss, i):
                    break
            null = descent.embedding
            nulls.append(null)
            on_progress(Progress("optimise", i + 1, len(schedule), loss.item()))
        return nulls
