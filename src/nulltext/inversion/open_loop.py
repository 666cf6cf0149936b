"""Null-text inversion with all timesteps at once.

Null-text inversion (Mokady et al., arXiv 2211.09794, algorithm 1) optimises one timestep after another, since each sets
out from where the one before has led. Set out from the pivot instead, and no timestep waits for another: all of them
are one batch. What each is then off by adds up on the way, so a pass of algorithm 1 with few iterations may follow.
"""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from nulltext.checks import Count, CountOrZero, Guidance, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone, predict
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided, guide
from nulltext.diffusion.sampling import inverting
from nulltext.diffusion.schedule import Schedule
from nulltext.inversion.base import Inversion, finish
from nulltext.inversion.descent import Descent, GuidedStep
from nulltext.inversion.null_text import PUBLISHED, Constants, NullText, check_null_guidance
from nulltext.models.base import Model, embed_captions
from nulltext.models.precision import rounding_of
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Latents, Null, Nulls, Trajectory


@final
@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """Null embeddings of all timesteps optimised at once, each from the pivot.

    Attributes:
        steps: T, the steps of the sampler, and the pictures in a batch.
        inner_steps: N, so many steps of Adam for all of them together.
        closing_steps: At most so many for each in the pass of algorithm 1 that follows.
        guidance: The weight w, of the optimisation and of every use of the result; None is the model's own.
        constants: Learning rate and early stop of that pass; all timesteps at once have its first learning rate.
        fixed_point: How well the steps of the pivot are solved; None is the plain DDIM inversion.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    inner_steps: Count = 10
    closing_steps: CountOrZero = 1
    guidance: Guidance | None = None
    constants: Constants = PUBLISHED
    fixed_point: FixedPoint | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        check_null_guidance(self.guidance)

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
        cond, null, z0 = embed_captions(model, [caption]), model.embed([""]), model.encode(photo.pixels)
        plain, guided = Guided(model, cond, 1.0), Guided(model, cond, w)
        pivot = yield from inverting(plain, schedule, z0, null, on_progress, fixed_point=self.fixed_point)
        nulls = yield from self.optimise(guided, schedule, pivot, null, on_progress)
        closing = NullText(
            steps=self.steps, inner_steps=self.closing_steps, guidance=w, constants=self.constants, check_first=True
        )
        nulls, drawn = yield from closing.optimise(
            guided, schedule, pivot, null, on_progress, rounding=rounding_of(model), starts=nulls
        )
        return finish(
            self,
            model,
            photo,
            caption=caption,
            guidance=w,
            schedule=schedule,
            pivot=pivot,
            nulls=nulls,
            reconstruction=drawn,
        )

    def optimise(
        self,
        guided: Guided,
        schedule: Schedule,
        pivot: Trajectory,
        null: Null,
        on_progress: OnProgress = silent,
    ) -> Evaluations[Nulls]:
        """All timesteps at once.

        Args:
            guided: What predicts, under the source caption and w.
            schedule: T intervals, in sampling order.
            pivot: [T+1, C, h, w] from z*_T to z*_0.
            null: [1, L, D] the null caption's embedding, where the optimisation starts.
            on_progress: Told of every iteration, phase "optimise", with the mean of the losses.

        Returns:
            [T, L, D] the null embeddings.
        """
        model, steps = guided.model, len(schedule)
        z = pivot[:-1]
        times = torch.tensor([interval.t for interval in schedule], device=z.device)
        eps_cond = yield from predict(z, times, guided.cond.expand(steps, -1, -1))
        landings = [
            GuidedStep(
                z=z[i : i + 1],
                target=pivot[i + 1 : i + 2],
                interval=interval,
                prediction=model.prediction,
                guide=partial(guide, cond=eps_cond[i : i + 1], guidance=guided.guidance),
            )
            for i, interval in enumerate(schedule)
        ]

        def error(eps_null: Latents) -> Tensor:
            """The sum of the errors, so that each embedding has the gradient of its own."""
            return torch.stack(
                [step.error(one) for step, one in zip(landings, torch.split(eps_null, 1), strict=True)]
            ).sum()

        descent = Descent(null.expand(steps, -1, -1), self.constants.learning_rate)
        for done in range(1, self.inner_steps + 1):
            loss = yield from descent.step(z, times, error)
            on_progress(Progress("optimise", done, self.inner_steps, loss.item() / steps))
        return descent.embedding
