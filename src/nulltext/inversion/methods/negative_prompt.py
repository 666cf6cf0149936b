"""Negative-prompt inversion: Miyake et al., arXiv 2305.16807."""

from dataclasses import dataclass
from typing import ClassVar, final

from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.errors import SettingError, shown
from nulltext.inversion.invert import Inverter
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm
from nulltext.inversion.solvers import check_null_guidance


@final
@dataclass(frozen=True, kw_only=True)
class NegativePrompt(Inverter):
    """The prompt's own embedding in the place of every null embedding.

    Guidance then has nothing to add to the source, at any w, so that sampling leads back as it does at w = 1. An edit
    is guided away from the source prompt instead of from the null text: at equal w it is stronger.

    Attributes:
        steps: T, the steps of the sampler.
        guidance: The guidance scale w of every use of the result; None is the model's own.
        fixed_point: How well the steps of the pivot are solved; None is the plain DDIM inversion.
        negative_prompt: Blank; the prompt itself is in its place.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        ∅_t = C, so that out_null = out_cond, and out = out_cond at any w
    """

    replays: ClassVar[ReplayForm] = ReplayForm(nulls=True)

    fixed_point: FixedPoint | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_null_guidance(self.guidance)
        if self.negative_prompt:
            raise SettingError(
                f"got the negative prompt {shown(self.negative_prompt)} for negative-prompt inversion, in which the "
                "source prompt stands in its place; expected none. Take direct inversion, which keeps both apart."
            )

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        return {"invert": FixedPoint.a_step(self.fixed_point) * self.steps, "sample": 3 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Takes the prompt's embedding for every step."""
        pivot = problem.ddim(fixed_point=self.fixed_point)
        nulls = problem.cond.text.expand(len(problem.schedule), -1, -1)
        plain = Guided(problem.denoiser, problem.cond, 1.0)  # what guidance between two equal outputs comes to
        steps = [problem.cond] * len(problem.schedule)
        z0 = sample(plain, problem.schedule, pivot[:1], steps, problem.on_progress)
        pooled = None if problem.cond.pooled is None else problem.cond.pooled[0]
        return Solution(pivot, Replay(nulls=nulls, pooled=pooled), z0)
