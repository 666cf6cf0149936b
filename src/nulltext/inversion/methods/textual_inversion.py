"""Textual inversion: the prompt's embedding is optimised, not the null text's.

Gal et al., arXiv 2208.01618, in the form that Mokady et al., arXiv 2211.09794, section 4, compare null-text inversion
with: the whole conditional embedding, for one image. What is drawn for it need not follow the prompt's words any
longer, so that editing by words suffers.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from nulltext.checks import Count, Rate, Seed
from nulltext.diffusion.guidance import guide
from nulltext.diffusion.levels import combine, split
from nulltext.diffusion.sharing import descend
from nulltext.errors import SettingError
from nulltext.inversion.algorithms import optimise_one
from nulltext.inversion.invert import Inverter
from nulltext.inversion.noise import draw_noise, random_trajectory
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm
from nulltext.inversion.solvers import Adam
from nulltext.progress import Progress
from nulltext.types import Embeddings, Latents


@final
@dataclass(frozen=True, kw_only=True)
class TextualInversion(Inverter):
    """One conditional embedding, optimised under guidance with the null text left as it is.

    Without a pivot each iteration draws a fresh noise and one of the sampler's times, and sampling starts from
    ``z_T = alpha z_0 + sigma noise`` with the first noise of the seed, as in `NoPivot`. With one, the iterations pass
    along the trajectory of plain DDIM inversion as those of `GlobalNullText` do, and sampling starts from its z_T.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N; there are T N steps of Adam.
        guidance: The guidance scale w, of the optimisation and of every use of the result; None is the model's own.
        pivot: Whether there is a pivot.
        learning_rate: Adam's.
        seed: Of all noise; without meaning if there is a pivot.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        min over one C of Σ_t ‖z*_{t-1} - z_{t-1}(z̄_t, ∅, C)‖²
    """

    replays: ClassVar[ReplayForm] = ReplayForm(cond=True)

    inner_steps: Count = 10
    pivot: bool = False
    learning_rate: Rate = 1e-2
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guidance == 0:
            raise SettingError("got guidance=0, at which the prompt has no part; expected another. 7.5 is usual.")

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        optimise = self.steps * self.inner_steps * (4 if self.pivot else 3)
        invert = {"invert": self.steps} if self.pivot else {}
        return {**invert, "optimise": optimise, "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Optimises the prompt's embedding along the pivot, or under fresh noise."""
        if not self.pivot:
            generator = torch.Generator().manual_seed(self.seed)
            trajectory = random_trajectory(problem.z0, problem.schedule, generator)
            return Solution(trajectory, Replay(cond=self._optimise(problem, generator)[0]))
        trajectory = problem.ddim()
        cond = optimise_one(
            problem,
            trajectory,
            problem.cond,
            other=problem.null,
            mix=lambda out_cond, out_null: guide(out_null, out_cond, problem.w),
            passes=self.inner_steps,
            learning_rate=self.learning_rate,
        )
        return Solution(trajectory, Replay(cond=cond[0]))

    def _optimise(self, problem: Problem, generator: torch.Generator) -> Embeddings:
        """ArXiv 2211.09794, eq. 4: the noise in z_t is to be predicted for every noise and every time.

        The prediction is the guided one, since that is what sampling will follow; in the equation it is the prompt's
        alone, which is the case w = 1 of this.
        """
        denoiser, schedule, cond = problem.denoiser, problem.schedule, problem.cond
        adam, total = Adam(cond.text, self.learning_rate), len(schedule) * self.inner_steps
        for done in range(1, total + 1):
            step = schedule[int(torch.randint(len(schedule), (), generator=generator))]
            noise = draw_noise(problem.z0, generator)
            z = combine(problem.z0, noise, step.noisy)
            out_null = denoiser.predict(z, step.t, problem.null)

            def error(out_cond: Latents) -> Tensor:
                _, eps = split(z, guide(out_null, out_cond, problem.w), step.noisy, denoiser.prediction)
                return mse_loss(eps, noise)

            loss, gradient = descend(denoiser, z, step.t, cond, error)
            cond = cond.with_text(adam.move(gradient))
            problem.on_progress(Progress("optimise", done, total, loss.item()))
        return cond.text
