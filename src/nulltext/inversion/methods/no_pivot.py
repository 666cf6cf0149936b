"""Null-text inversion without a pivot.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4, "Null-text optimization without pivotal
inversion". Fresh noise at every iteration asks each null embedding to lead every noise to the one image.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch.nn.functional import mse_loss

from nulltext.diffusion.guidance import guide
from nulltext.diffusion.levels import combine, denoise
from nulltext.diffusion.sharing import descend
from nulltext.inversion.each_step import EachStep
from nulltext.inversion.noise import draw_noise, random_trajectory
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay
from nulltext.inversion.solvers import Adam
from nulltext.progress import Progress
from nulltext.types import Latents, Null


@final
@dataclass(frozen=True, kw_only=True)
class NoPivot(EachStep):
    """Null embeddings, one for each step, optimised under fresh noise at every iteration.

    The first noise of the seed is the one that sampling starts from, as ``z_T = alpha z_0 + sigma noise``, and
    `RandomPivot` with the same seed starts from the same. The trajectory in the result is that noise's; the
    optimisation, which draws all the following ones, makes no use of it.

    Equation:
        min over ∅_t of E_n ‖z_{t-1}(z_0, n) - z_{t-1}(z_t(z_0, n), ∅_t, C)‖²
        z_t(z_0, n) = α_t z_0 + σ_t n
    """

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        return {"optimise": self.steps * 3 * self.inner_steps, "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Algorithm 1 with both ends of each step made from z_0 and a fresh noise."""
        denoiser, z0, generator = problem.denoiser, problem.z0, torch.Generator().manual_seed(self.seed)
        pivot, null, nulls = random_trajectory(z0, problem.schedule, generator), problem.null, list[Null]()
        error = torch.tensor(torch.nan)
        for i, step in enumerate(problem.schedule):
            adam, tolerance = Adam(null.text, self.descent.rate_at(i)), self.descent.tolerance_at(i)
            for _ in range(self.inner_steps):
                noise = draw_noise(z0, generator)
                z, target = combine(z0, noise, step.noisy), combine(z0, noise, step.clean)
                out_cond = denoiser.predict(z, step.t, problem.cond)

                def land(out_null: Latents) -> Latents:
                    return denoise(z, guide(out_null, out_cond, problem.w), step, denoiser.prediction)

                error, gradient = descend(denoiser, z, step.t, null, lambda out_null: mse_loss(land(out_null), target))
                null = null.with_text(adam.move(gradient))
                if tolerance > 0 and error.item() < tolerance:
                    break
            nulls.append(null.text)
            problem.on_progress(Progress("optimise", i + 1, len(problem.schedule), error.item()))
        return Solution(pivot, Replay(nulls=torch.cat(nulls)))
