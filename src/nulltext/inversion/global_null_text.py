"""Global null-text inversion: one null embedding for all steps.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4 and appendix D, algorithm 2. What one
embedding learns at one step it has to share with all others, which makes it less expressive, and slower.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

from nulltext.checks import Count, Guidance, Rate, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone, predict
from nulltext.diffusion.guidance import Guided, guide
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.sampling import inverting, sampling
from nulltext.diffusion.schedule import Schedule
from nulltext.inversion.base import Inversion, finish
from nulltext.inversion.descent import Descent, GuidedStep
from nulltext.inversion.null_text import check_null_guidance
from nulltext.models.base import Model, embed_captions
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Embeddings, Latents, Trajectory

Mix = Callable[[Latents], Callable[[Latents], Latents]]
"""The output for the embedding that stays -> that for the one that is optimised -> the guided output."""


def optimise_one(
    prediction: Prediction,
    schedule: Schedule,
    pivot: Trajectory,
    start: Embeddings,
    *,
    other: Embeddings,
    mix: Mix,
    passes: int,
    learning_rate: float,
    on_progress: OnProgress = silent,
) -> Evaluations[Embeddings]:
    """Algorithm 2, for either of the two embeddings that guidance mixes.

    The iterations of algorithm 1 in another order: since a change at one step is felt at all others, every pass walks
    from t = T to 1 with one step of Adam at each, and there are N passes. As in algorithm 1, and as in sampling, each
    step goes on from where the one before has led and not from the pivot, so that it learns to lead back to it. Adam
    is the same throughout, and no early stop ends a pass.

    Args:
        prediction: What the network returns.
        schedule: T intervals, in sampling order.
        pivot: [T+1, C, h, w] from z*_T to z*_0.
        start: [1, L, D] the embedding to optimise, as it is at first.
        other: [1, L, D] the embedding that stays.
        mix: How the outputs for the two make the guided one.
        passes: N.
        learning_rate: Adam's.
        on_progress: Told of every step of Adam, phase "optimise", with its loss.

    Returns:
        [1, L, D] the optimised embedding.
    """
    descent, done = Descent(start, learning_rate), 0
    for _ in range(passes):
        z = pivot[:1]
        for i, interval in enumerate(schedule):
            step = GuidedStep(
                z=z,
                target=pivot[i + 1 : i + 2],
                interval=interval,
                prediction=prediction,
                guide=mix((yield from predict(z, interval.t, other))),
            )
            loss = yield from descent.step(z, interval.t, step.error)
            z = step.land((yield from predict(z, interval.t, descent.embedding)))
            done += 1
            on_progress(Progress("optimise", done, passes * len(schedule), loss.item()))
    return descent.embedding


@final
@dataclass(frozen=True, kw_only=True)
class GlobalNullText:
    """Null-text inversion with one null embedding for all steps, along the pivot of plain DDIM inversion.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, so many times the optimisation passes all of them, one step of Adam at each.
        guidance: The weight w, of the optimisation and of every use of the result; None is the model's own.
        learning_rate: Adam's.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    inner_steps: Count = 10
    guidance: Guidance | None = None
    learning_rate: Rate = 1e-2

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
        cond, null = embed_captions(model, [caption]), model.embed([""])
        pivot = yield from inverting(Guided(model, cond, 1.0), schedule, model.encode(photo.pixels), null, on_progress)
        null = yield from optimise_one(
            model.prediction,
            schedule,
            pivot,
            null,
            other=cond,
            mix=lambda of_cond: partial(guide, cond=of_cond, guidance=w),
            passes=self.inner_steps,
            learning_rate=self.learning_rate,
            on_progress=on_progress,
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
            nulls=null.expand(len(schedule), -1, -1),
            reconstruction=drawn,
        )
