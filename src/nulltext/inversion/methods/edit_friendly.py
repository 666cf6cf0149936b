"""Edit-friendly DDPM inversion: Huberman-Spiegelglas et al., arXiv 2304.06140.

Nothing is inverted and nothing optimised. Independent noises lead the image to every level; what the sampler is off
that trajectory at each step is the noise that it would have had to add, and edits are given the same.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, final

import torch

from nulltext.checks import Guidance, Range, Seed
from nulltext.diffusion.levels import combine
from nulltext.errors import SettingError
from nulltext.inversion.invert import Inverter
from nulltext.inversion.noise import draw_noise
from nulltext.inversion.problem import Problem, Solution
from nulltext.inversion.replay import Replay, ReplayForm

PUBLISHED_SOURCE_GUIDANCE: Final = 3.5


@final
@dataclass(frozen=True, kw_only=True)
class EditFriendly(Inverter):
    """The image under a noise of its own at every level, sampled again with the noise that this takes.

    The trajectory is ``x_t = alpha_t x_0 + sigma_t n_t`` with independent ``n_t`` (eq. 6). A step of DDPM, that is eta
    = 1, leads to ``mu(x_t) = alpha_{t-1} x_0(x_t) + sqrt(sigma_{t-1}² - s_t²) eps(x_t)`` and adds ``s_t z_t`` (eq. 3);
    the noise that leads along the trajectory is ``z_t = (x_{t-1} - mu(x_t)) / s_t`` (eq. 5). All that has to be stored
    is the trajectory: what the source is off it after a step is ``s_t z_t``, which is given to the edits as well, and
    the source comes back exactly, at any guidance. The noises have a variance above 1 and neighbours are negatively
    correlated, which binds edits to the image more than a sampler's own noise would.

    The authors' code takes T = 100, skips 36 steps, and guides edits by 15. It leaves the noise of the last step out,
    so that its source is exact but for that step; here it is kept.

    Attributes:
        steps: T, the steps of the sampler.
        guidance: The guidance scale w of edits unless they ask for another; None is the model's own.
        source_guidance: The guidance scale under which the source's noises are found; None is 3.5, or that of edits
            for a model that is distilled to work with one scale.
        skip: Of the steps, the first share that edits skip: more keeps more of the image.
        seed: Of the noises. Each seed has edits of its own.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        x_t = α_t x_0 + σ_t n_t, n_t independent
        z_t = (x_{t-1} - μ(x_t)) / s_t
    """

    replays: ClassVar[ReplayForm] = ReplayForm(corrected="all", eta=True, source_guidance=True)

    source_guidance: Guidance | None = None
    skip: Annotated[float, Range(least=0, below=1)] = 0.36
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._replay(PUBLISHED_SOURCE_GUIDANCE).first(self.steps) == self.steps:
            raise SettingError(
                f"got skip={self.skip:g}, which leaves none of the {self.steps} steps to edits; expected a share that "
                "leaves at least one. Take a lower one, or more steps."
            )

    def _replay(self, source_guidance: float) -> Replay:
        return Replay(corrected="all", eta=1.0, source_guidance=source_guidance, skip=self.skip)

    def evaluations(self) -> dict[str, int]:
        """See `Inverter`. There are none: the noises are found where they are used, beside the edits."""
        return {}

    def solve(self, problem: Problem) -> Solution:
        """Leads the image to every level by a noise of its own."""
        generator, x0 = torch.Generator().manual_seed(self.seed), problem.z0
        noisy = [combine(x0, draw_noise(x0, generator), interval.noisy) for interval in problem.schedule]
        default = problem.w if problem.cond.distilled else PUBLISHED_SOURCE_GUIDANCE
        source_guidance = default if self.source_guidance is None else self.source_guidance
        return Solution(torch.cat([*noisy, x0]), self._replay(source_guidance))
