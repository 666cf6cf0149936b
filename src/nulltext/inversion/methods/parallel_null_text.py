"""Null-text inversion with all timesteps at once.

Null-text inversion (Mokady et al., arXiv 2211.09794, algorithm 1) optimises one timestep after another, since each sets
out from where the one before has led. Set out from the pivot instead, and no timestep waits for another: all of them
are one batch. What each is then off by adds up on the way, so a pass of algorithm 1 with few iterations may follow.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from nulltext.checks import Count, CountOrZero
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import guide
from nulltext.diffusion.levels import denoise
from nulltext.diffusion.sharing import descend
from nulltext.inversion.invert import Inverter
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm
from nulltext.inversion.solvers import Adam, check_null_guidance
from nulltext.inversion.stopping import PUBLISHED, Preset, Stopping
from nulltext.progress import Progress
from nulltext.types import Latents, Null, Nulls, Trajectory


@final
@dataclass(frozen=True, kw_only=True)
class ParallelNullText(Inverter):
    """Null embeddings of all timesteps optimised at once, each from the pivot.

    Attributes:
        steps: T, the steps of the sampler, and the images in a batch.
        inner_steps: N, so many steps of Adam for all of them together.
        sequential_steps: At most so many for each in the pass of algorithm 1 that follows.
        guidance: The guidance scale w, of the optimisation and of every use of the result; None is the model's own.
        descent: Learning rate and early stop of that pass; all timesteps at once have its first learning rate.
        fixed_point: How well the steps of the pivot are solved; None is the plain DDIM inversion.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        min over ∅_1, ..., ∅_T of Σ_t ‖z*_{t-1} - z_{t-1}(z*_t, ∅_t, C)‖²
    """

    replays: ClassVar[ReplayForm] = ReplayForm(nulls=True)

    inner_steps: Count = 10
    sequential_steps: CountOrZero = 1
    descent: Preset = PUBLISHED
    fixed_point: FixedPoint | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_null_guidance(self.guidance)
        self.descent.check(self.steps)

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        optimise = self.steps * (3 + 2 * self.inner_steps + 2 * self.sequential_steps)
        passes = FixedPoint.a_step(self.fixed_point)
        return {"invert": passes * self.steps, "optimise": optimise, "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """All timesteps at once, then one after the other."""
        pivot = problem.ddim(fixed_point=self.fixed_point)
        nulls, z0 = self._close(problem, pivot, self._open(problem, pivot))
        return Solution(pivot, Replay(nulls=nulls), z0)

    def _open(self, problem: Problem, pivot: Trajectory) -> Nulls:
        """[T, L, D] the null embeddings, each optimised from the pivot, all in one batch."""
        denoiser, schedule, z = problem.denoiser, problem.schedule, pivot[:-1]
        times = torch.tensor([step.t for step in schedule], device=z.device)
        out_cond = denoiser.predict(z, times, problem.cond.expand(len(schedule)))

        def error(out_null: Latents) -> Tensor:
            """The sum of the errors, so that each embedding has the gradient of its own."""
            guided = guide(out_null, out_cond, problem.w)
            landed = (
                denoise(z[i : i + 1], guided[i : i + 1], step, denoiser.prediction) for i, step in enumerate(schedule)
            )
            return torch.stack([mse_loss(at, pivot[i : i + 1]) for i, at in enumerate(landed, start=1)]).sum()

        nulls = problem.null.expand(len(schedule))
        adam = Adam(nulls.text, self.descent.learning_rate)
        for done in range(1, self.inner_steps + 1):
            loss, gradient = descend(denoiser, z, times, nulls, error)
            nulls = nulls.with_text(adam.move(gradient))
            problem.on_progress(Progress("optimise", done, self.inner_steps, loss.item() / len(schedule)))
        return nulls.text

    def _close(self, problem: Problem, pivot: Trajectory, starts: Nulls) -> tuple[Nulls, Latents]:
        """Algorithm 1 from those embeddings; a step that lands well enough is left as it is."""
        denoiser, schedule, z, nulls = problem.denoiser, problem.schedule, pivot[:1], list[Null]()
        stopping = Stopping(problem, self.descent, z)
        for i, step in enumerate(schedule):
            target, out_cond = pivot[i + 1 : i + 2], denoiser.predict(z, step.t, problem.cond)

            def land(out_null: Latents) -> Latents:
                return denoise(z, guide(out_null, out_cond, problem.w), step, denoiser.prediction)

            def error(out_null: Latents) -> Tensor:
                return mse_loss(land(out_null), target)

            null, tolerance = problem.null.with_text(starts[i : i + 1]), stopping.below(i, land)
            adam = Adam(null.text, self.descent.rate_at(i))
            out_null = denoiser.predict(z, step.t, null)
            loss, taken = error(out_null), 0
            while taken < self.sequential_steps and not (tolerance > 0 and loss.item() < tolerance):
                loss, gradient = descend(denoiser, z, step.t, null, error)
                null, taken = null.with_text(adam.move(gradient)), taken + 1
            nulls.append(null.text)
            z = land(denoiser.predict(z, step.t, null) if taken else out_null)
            problem.on_progress(Progress("optimise", i + 1, len(schedule), loss.item(), latents=z))
        return torch.cat(nulls), z
