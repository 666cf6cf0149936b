"""Global null-text inversion: one null embedding for all steps.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4 and appendix D, algorithm 2. What one
embedding learns at one step it has to share with all others, which makes it less expressive, and slower.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from nulltext.checks import Count, Rate
from nulltext.diffusion.guidance import guide
from nulltext.inversion.algorithms import optimise_one
from nulltext.inversion.invert import Inverter
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm
from nulltext.inversion.solvers import check_null_guidance


@final
@dataclass(frozen=True, kw_only=True)
class GlobalNullText(Inverter):
    """Null-text inversion with one null embedding for all steps, along the pivot of plain DDIM inversion.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, so many times the optimisation passes all of them, one step of Adam at each.
        guidance: The guidance scale w, of the optimisation and of every use of the result; None is the model's own.
        learning_rate: Adam's.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        min over one ∅ of Σ_t ‖z*_{t-1} - z_{t-1}(z̄_t, ∅, C)‖²
    """

    replays: ClassVar[ReplayForm] = ReplayForm(nulls=True)

    inner_steps: Count = 10
    learning_rate: Rate = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_null_guidance(self.guidance)

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        optimise = self.inner_steps * self.steps * 4
        return {"invert": self.steps, "optimise": optimise, "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Algorithm 2 along the pivot of DDIM inversion."""
        pivot = problem.ddim()
        null = optimise_one(
            problem,
            pivot,
            problem.null,
            other=problem.cond,
            mix=partial(guide, guidance=problem.w),
            passes=self.inner_steps,
            learning_rate=self.learning_rate,
        )
        return Solution(pivot, Replay(nulls=null.expand(len(problem.schedule), -1, -1)))
