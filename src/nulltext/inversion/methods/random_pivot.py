"""Null-text inversion around a random pivot.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4, "Random pivot". The image's latents
under one noise, more of it at every step, stand in the place of the trajectory of DDIM inversion.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from nulltext.checks import Count, Seed
from nulltext.inversion.algorithms import optimise_each
from nulltext.inversion.invert import Inverter
from nulltext.inversion.noise import random_trajectory
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm
from nulltext.inversion.solvers import check_null_guidance
from nulltext.inversion.stopping import PUBLISHED, Preset


@final
@dataclass(frozen=True, kw_only=True)
class RandomPivot(Inverter):
    """Null-text inversion around ``z_t = alpha z_0 + sigma noise``, one noise for the whole trajectory.

    Sampling starts from z_T of that trajectory.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, at most so many steps of Adam for each.
        guidance: The guidance scale w, of the optimisation and of every use of the result; None is the model's own.
        descent: Learning rate and early stop.
        seed: Of the noise.

    Raises:
        SettingError: A setting is out of range.
    """

    replays: ClassVar[ReplayForm] = ReplayForm(nulls=True)

    inner_steps: Count = 10
    descent: Preset = PUBLISHED
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_null_guidance(self.guidance)
        self.descent.check(self.steps)

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        return {"optimise": self.steps * (2 + 2 * self.inner_steps), "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Algorithm 1 along a random trajectory."""
        pivot = random_trajectory(problem.z0, problem.schedule, torch.Generator().manual_seed(self.seed))
        nulls, z0 = optimise_each(problem, pivot, inner_steps=self.inner_steps, descent=self.descent)
        return Solution(pivot, Replay(nulls=nulls), z0)
