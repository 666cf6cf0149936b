"""Direct inversion.

Ju et al., "PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code", arXiv 2310.01506, which calls it
that. Nothing is optimised. The pivot is kept, and whatever samples the source puts it back there after every step;
edits beside it follow a source that is exact, and are guided by the null text as it is.
"""

from dataclasses import dataclass, field
from typing import ClassVar, final

from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.inversion.invert import Inverter
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm


@final
@dataclass(frozen=True, kw_only=True)
class DirectInversion(Inverter):
    """A pivot that the source is held on.

    The paper stores what the guided sampler is off the pivot at every step and takes it off again where the source is
    drawn (its algorithm 1). That leads back to the pivot itself, so the pivot is all that has to be stored, and serves
    at every guidance. The source comes back as well as the autoencoder can bring it, by construction.

    Attributes:
        steps: T.
        guidance: The guidance scale w of edits unless they ask for another; None is the model's own, 7.5 for Stable
            Diffusion.
        fixed_point: How well the steps of the pivot are solved; None is the paper's plain DDIM inversion.

    Equation:
        z*_0 → z*_T by DDIM inversion at w = 1
        sampling: z_{t-1} of the source ← z*_{t-1}, after every step
    """

    replays: ClassVar[ReplayForm] = ReplayForm(corrected="source")

    fixed_point: FixedPoint | None = field(default_factory=FixedPoint)

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`."""
        return {"invert": FixedPoint.a_step(self.fixed_point) * self.steps}

    def solve(self, problem: Problem) -> Solution:
        """Inverts without guidance."""
        pivot = problem.ddim(fixed_point=self.fixed_point)
        return Solution(pivot, Replay(corrected="source"))
