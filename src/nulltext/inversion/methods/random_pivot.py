"""Null-text inversion around a random pivot.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4, "Random pivot". The image's latents
under one noise, more of it at every step, stand in the place of the trajectory of DDIM inversion.
"""

from dataclasses import dataclass
from typing import final

import torch

from nulltext.inversion.algorithms import optimise_each
from nulltext.inversion.each_step import EachStep
from nulltext.inversion.noise import random_trajectory
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay


@final
@dataclass(frozen=True, kw_only=True)
class RandomPivot(EachStep):
    """Null-text inversion around ``z_t = alpha z_0 + sigma noise``, one noise for the whole trajectory.

    Sampling starts from z_T of that trajectory.

    Equation:
        min over ∅_t of ‖z_{t-1} - z_{t-1}(z̄_t, ∅_t, C)‖²
        z_t = α_t z_0 + σ_t n, one n for all t
    """

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        return {"optimise": self.steps * (2 + 2 * self.inner_steps), "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Algorithm 1 along a random trajectory."""
        pivot = random_trajectory(problem.z0, problem.schedule, torch.Generator().manual_seed(self.seed))
        nulls, z0 = optimise_each(problem, pivot, inner_steps=self.inner_steps, descent=self.descent)
        return Solution(pivot, Replay(nulls=nulls), z0)
