"""What every paper's algorithm starts from, and what it ends with."""

from dataclasses import dataclass
from typing import final

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import ddim_inversion
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import Denoiser
from nulltext.inversion.replay import Replay
from nulltext.progress import OnProgress
from nulltext.types import Latents, Trajectory


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """An image and its prompt, as the papers have them.

    Attributes:
        denoiser: The network, or a share of one.
        schedule: T steps, in sampling order.
        z0: [1, C, h, w] the image's latents.
        cond: What the prompt tells the network, C; one row.
        null: What stands for no prompt, the empty-set sign; one row.
        w: The guidance scale.
        rounding: How much, relatively, the network rounds, see `nulltext.models.precision.rounding_of`.
        on_progress: Called for every step.
    """

    denoiser: Denoiser
    schedule: Schedule
    z0: Latents
    cond: Conditioning
    null: Conditioning
    w: float
    rounding: float
    on_progress: OnProgress

    def ddim(self, w: float = 1.0, fixed_point: FixedPoint | None = None) -> Trajectory:
        """[T+1, C, h, w] the trajectory of DDIM inversion under w, see `ddim_inversion`."""
        guided = Guided(self.denoiser, self.cond, w)
        return ddim_inversion(guided, self.schedule, self.z0, self.null, self.on_progress, fixed_point=fixed_point)

    def sample(self, pivot: Trajectory, replay: Replay) -> Latents:
        """[1, C, h, w] the source's z_0 as a replay samples it."""
        if replay.exact:
            return pivot[-1:]
        cond = self.cond if replay.cond is None else self.cond.with_text(replay.cond[None])
        return replay.sample(
            self.denoiser,
            self.schedule,
            pivot,
            cond,
            null=self.null,
            guidance=self.w,
            on_progress=self.on_progress,
        )


@final
@dataclass(frozen=True, eq=False)
class Solution:
    """What a method of inversion ends with.

    Attributes:
        pivot: [T+1, C, h, w] the trajectory, from z_T to z_0.
        replay: How the source branch is sampled again.
        reconstruction: [1, C, h, w] z_0 as sampled from the two, where the method has come by it; None where not.
    """

    pivot: Trajectory
    replay: Replay
    reconstruction: Latents | None = None
