"""DDIM inversion, alone: the sampler run backwards."""

from dataclasses import dataclass
from typing import final

from nulltext.checks import Guidance
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.inversion.invert import Inverter
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay


@final
@dataclass(frozen=True, kw_only=True)
class DDIM(Inverter):
    """Plain DDIM inversion.

    With w = 1 the trajectory leads back to an image close to the source, at w = 1; under the guidance that editing
    needs it drifts away. With w > 1 the guidance amplifies every step's error already on the way to noise.

    Attributes:
        steps: T.
        guidance: The guidance scale w of the inversion, and of the reconstruction unless another is asked for.
        fixed_point: How well the steps are solved, so that sampling at that weight leads back; None is the plain
            inversion.

    Equation:
        x0, eps = split(z_{t-1}, eps_θ(z_{t-1}, t, C))
        z_t = α_t x0 + σ_t eps
    """

    guidance: Guidance = 1.0
    fixed_point: FixedPoint | None = None

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        passes = FixedPoint.a_step(self.fixed_point) * (1 if self.guidance == 1 else 2)
        return {"invert": passes * self.steps, "sample": 2 * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Walks the sampler backwards."""
        return Solution(problem.ddim(problem.w, self.fixed_point), Replay())
