"""What every paper's algorithm starts from, and what it ends with."""

from dataclasses import dataclass
from typing import final

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import ddim_inversion, sample
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import Denoiser
from nulltext.progress import OnProgress
from nulltext.types import Embeddings, Latents, Nulls, Trajectory


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
        on_progress: Told of every step.
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

    def sample(self, z: Latents, nulls: Nulls | None = None, cond: Embeddings | None = None) -> Latents:
        """[1, C, h, w] where the guided sampler leads from z_T, with other embeddings than the problem's if given."""
        guided = Guided(self.denoiser, self.cond if cond is None else self.cond.with_text(cond), self.w)
        texts = [self.null.text] * len(self.schedule) if nulls is None else [null[None] for null in nulls]
        own = [self.null.with_text(text) for text in texts]
        return sample(guided, self.schedule, z, own, self.on_progress)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """How the image is sampled again.

    Attributes:
        pivot: [T+1, C, h, w] the trajectory, from z_T to z_0.
        nulls: [T, L, D] the null embedding of each step; None for the null text's.
        cond: [1, L, D] the embedding in the prompt's place; None for the prompt's own.
        held: Whether the source branch is put back on the pivot after every step.
        reconstruction: [1, C, h, w] z_0 as sampled from all this, where the method has come by it; None where not.
    """

    pivot: Trajectory
    nulls: Nulls | None = None
    cond: Embeddings | None = None
    held: bool = False
    reconstruction: Latents | None = None
