"""Null-text inversion.

Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", CVPR 2023, arXiv 2211.09794,
algorithm 1. The trajectory of a plain DDIM inversion is the pivot. Under guidance the sampler would leave it; so for
each step the null embedding is optimised until the guided step lands on the pivot again. Model and caption stay as
they are.
"""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from nulltext.checks import Count, CountOrZero, Guidance, Rate, Share, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided, guide
from nulltext.diffusion.sampling import inverting
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError
from nulltext.inversion.base import Inversion, finish
from nulltext.inversion.descent import Descent, GuidedStep, Place, rounding_noise
from nulltext.inversion.solvers import SOLVERS, Solver
from nulltext.models.base import Model, embed_captions
from nulltext.models.precision import FLOAT32_ROUNDING, rounding_of
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Latents, Null, Nulls, Trajectory


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Learning rate and early stop as functions of the step i = 0 ... T-1, counted from t = T.

    Attributes:
        learning_rate: Adam's at i = 0.
        decay: What of it is taken off per step: at step i it is ``learning_rate * (1 - decay * i)``.
        tolerance: The mean-squared error below which a step counts as done, at i = 0.
        tolerance_growth: What is added to that per step: at step i it is ``tolerance + tolerance_growth * i``.

    Raises:
        SettingError: A number is out of range.
    """

    learning_rate: Rate
    decay: float
    tolerance: float
    tolerance_growth: float

    def __post_init__(self) -> None:
        check_numbers(self)

    def rate_at(self, i: int) -> float:
        """The learning rate at step i."""
        return self.learning_rate * (1 - self.decay * i)

    def tolerance_at(self, i: int) -> float:
        """The error below which step i counts as done."""
        return self.tolerance + self.tolerance_growth * i

    def done(self, loss: Tensor, i: int, floor: float = 0.0) -> bool:
        """Whether an error is below that, or below a floor under which the precision of the network cannot tell.

        It is not read, which waits for the device, where no error could be.
        """
        return self.tolerance_at(i) > 0 and loss.item() < max(floor, self.tolerance_at(i))


PAPER = Constants(learning_rate=1e-2, decay=0.0, tolerance=1e-5, tolerance_growth=0.0)
"""As section 4 of the paper says."""

PUBLISHED = Constants(learning_rate=1e-2, decay=1e-2, tolerance=1e-5, tolerance_growth=2e-5)
"""As in the authors' published code."""


def check_null_guidance(guidance: float | None) -> None:
    """Makes sure that a null embedding takes part in the guidance.

    Raises:
        SettingError: It does not.
    """
    if guidance == 1:
        raise SettingError(
            "got guidance=1, at which the null embedding has no part; expected another. For w=1 use DDIM(), which "
            "the command line calls --method ddim."
        )


@final
@dataclass(frozen=True, kw_only=True)
class NullText:
    """Null-text inversion.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, at most so many steps of the solver for each.
        guidance: The weight w, of the optimisation and of every use of the result; None is the model's own, 7.5 for
            Stable Diffusion.
        constants: Learning rate and early stop.
        fixed_point: How well the steps of the pivot are solved; None is the paper's plain DDIM inversion.
        start: Where the optimisation starts: 0 at the null caption's embedding, as in the paper, 1 at the source
            caption's, between them at a mixture. Negative-prompt inversion (Miyake et al., arXiv 2305.16807) is 1 with
            no inner steps.
        solver: What takes the inner steps: Adam as published, or L-BFGS, which needs fewer.
        extrapolate: Whether a step starts from where the last two lead, in a straight line, and not from the last.
        check_first: Whether a step whose error is below the tolerance before it is optimised is left as it is.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    inner_steps: CountOrZero = 10
    guidance: Guidance | None = None
    constants: Constants = PUBLISHED
    fixed_point: FixedPoint | None = None
    start: Share = 0.0
    solver: Solver = "adam"
    extrapolate: bool = False
    check_first: bool = False

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.solver not in SOLVERS:
            raise SettingError(f"got solver={self.solver!r}; expected {' or '.join(map(repr, SOLVERS))}.")
        check_null_guidance(self.guidance)
        if self.constants.rate_at(self.steps - 1) <= 0:
            raise SettingError(
                f"got steps={self.steps}: with decay={self.constants.decay:g} the learning rate is used up after "
                f"{1 / self.constants.decay:g} steps. Take fewer, or the constants of NullText.paper(), whose rate "
                "does not decay."
            )

    @classmethod
    def paper(cls, *, steps: int = 50, inner_steps: int = 10, guidance: float | None = None) -> "NullText":
        """With the constants that the paper states."""
        return cls(steps=steps, inner_steps=inner_steps, guidance=guidance, constants=PAPER)

    @classmethod
    def published(cls, *, steps: int = 50, inner_steps: int = 10, guidance: float | None = None) -> "NullText":
        """With the constants of the authors' code: the default."""
        return cls(steps=steps, inner_steps=inner_steps, guidance=guidance, constants=PUBLISHED)

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
        z0 = model.encode(photo.pixels)
        pivot = yield from inverting(
            Guided(model, cond, 1.0), schedule, z0, null, on_progress, fixed_point=self.fixed_point
        )
        nulls, drawn = yield from self.optimise(
            Guided(model, cond, w), schedule, pivot, null, on_progress, rounding=rounding_of(model)
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
        *,
        rounding: float = FLOAT32_ROUNDING,
        starts: Nulls | None = None,
    ) -> Evaluations[tuple[Nulls, Latents]]:
        """Algorithm 1. In its words: `pivot` is z*, `z` is z-bar, `null` is the empty-set sign, `cond` is C.

        Args:
            guided: What predicts, under the source caption and w.
            schedule: T intervals, in sampling order.
            pivot: [T+1, C, h, w] from z*_T to z*_0.
            null: [1, L, D] the null caption's embedding, where the optimisation starts.
            on_progress: Told of every step of the sampler, phase "optimise", with the last loss.
            rounding: How much, relatively, the network rounds. Where that is more than in float32, what it makes is
                measured at the first step, and a step is done, too, where its error is no more than that.
            starts: [T, L, D] where the optimisation of each step starts; None is where the one before has ended.

        Returns:
            [T, L, D] the optimised null embeddings, and [1, C, h, w] where the guided sampler ends with them.
        """
        model, cond, w, constants = guided.model, guided.cond, guided.guidance, self.constants
        nulls: list[Null] = []
        z, null = pivot[:1], torch.lerp(null, cond, self.start)
        exact = rounding <= FLOAT32_ROUNDING
        noise = None if exact else (yield from rounding_noise(z, schedule[0].t, null, rounding))
        for i, interval in enumerate(schedule):
            t = interval.t
            place = Place(z, t)
            eps_cond = yield from place.predict(cond)
            step = GuidedStep(
                z=z,
                target=pivot[i + 1 : i + 2],
                interval=interval,
                prediction=model.prediction,
                guide=partial(guide, cond=eps_cond, guidance=w),
            )
            null = null if starts is None else starts[i : i + 1]
            descent = Descent(null, constants.rate_at(i), self.solver)  # warm start from the previous step
            floor = 0.0 if noise is None else step.moved(noise)
            loss = step.error((yield from place.predict(null))) if self.check_first else torch.tensor(torch.inf)
            for _ in range(0 if constants.done(loss, i, floor) else self.inner_steps):
                loss = yield from descent.step(z, t, step.error)
                if constants.done(loss, i, floor):
                    break
            nulls.append(descent.embedding)
            z = step.land((yield from place.predict(nulls[-1])))
            null = 2 * nulls[-1] - nulls[-2] if self.extrapolate and i else nulls[-1]
            on_progress(Progress("optimise", i + 1, len(schedule), loss.item(), latents=z))
        return torch.cat(nulls), z
