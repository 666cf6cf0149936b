"""Null-text inversion.

Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", CVPR 2023, arXiv 2211.09794,
algorithm 1. The trajectory of a plain DDIM inversion is the pivot. Under guidance the sampler would leave it; so for
each step the null embedding is optimised until the guided step lands on the pivot again. Model and prompt stay as
they are.
"""

from dataclasses import dataclass
from typing import ClassVar, final

from nulltext.checks import Count
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.errors import SettingError
from nulltext.inversion.algorithms import optimise_each
from nulltext.inversion.invert import Inverter
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm
from nulltext.inversion.solvers import SOLVERS, Solver, check_null_guidance
from nulltext.inversion.stopping import PAPER, PUBLISHED, Preset


@final
@dataclass(frozen=True, kw_only=True)
class NullText(Inverter):
    """Null-text inversion.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, at most so many steps of the solver for each.
        guidance: The guidance scale w, of the optimisation and of every use of the result; None is the model's own, 7.5
            for Stable Diffusion.
        descent: Learning rate and early stop.
        fixed_point: How well the steps of the pivot are solved; None is the paper's plain DDIM inversion.
        solver: What takes the inner steps: Adam as published, or L-BFGS, which needs fewer.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        min over ∅_t of ‖z*_{t-1} - z_{t-1}(z̄_t, ∅_t, C)‖², for t = T, ..., 1
        z̄_{t-1} = z_{t-1}(z̄_t, ∅_t, C)
    """

    replays: ClassVar[ReplayForm] = ReplayForm(nulls=True)

    inner_steps: Count = 10
    descent: Preset = PUBLISHED
    fixed_point: FixedPoint | None = None
    solver: Solver = "adam"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_null_guidance(self.guidance)
        self.descent.check(self.steps)
        if self.solver not in SOLVERS:
            raise SettingError(f"got solver={self.solver!r}; expected {' or '.join(map(repr, SOLVERS))}.")

    @classmethod
    def paper(cls, *, steps: int = 50, inner_steps: int = 10, guidance: float | None = None) -> "NullText":
        """With the constants that the paper states."""
        return cls(steps=steps, inner_steps=inner_steps, guidance=guidance, descent=PAPER)

    @classmethod
    def published(cls, *, steps: int = 50, inner_steps: int = 10, guidance: float | None = None) -> "NullText":
        """With the constants of the authors' code: the default."""
        return cls(steps=steps, inner_steps=inner_steps, guidance=guidance, descent=PUBLISHED)

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        optimise = self.steps * (2 + 2 * self.inner_steps)
        passes = FixedPoint.a_step(self.fixed_point)
        return {"invert": passes * self.steps, "optimise": optimise, "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Algorithm 1 along the pivot of DDIM inversion."""
        pivot = problem.ddim(fixed_point=self.fixed_point)
        nulls, z0 = optimise_each(
            problem, pivot, inner_steps=self.inner_steps, descent=self.descent, solver=self.solver
        )
        return Solution(pivot, Replay(nulls=nulls), z0)
