"""Null-text inversion around a random pivot.

An ablation of null-text inversion: Mokady et al., arXiv 2211.09794, section 4, "Random pivot". The picture's latents
under one noise, more of it at every step, stand in the place of the trajectory of DDIM inversion.
"""

from dataclasses import dataclass
from typing import final

import torch

from nulltext.checks import Count, Guidance, Seed, check_numbers
from nulltext.diffusion.evaluations import Evaluations, alone
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import combine
from nulltext.diffusion.schedule import Schedule
from nulltext.inversion.base import Inversion, finish
from nulltext.inversion.null_text import PUBLISHED, Constants, NullText
from nulltext.models.base import Model, embed_captions
from nulltext.models.precision import rounding_of
from nulltext.pictures import Photo
from nulltext.progress import OnProgress, silent
from nulltext.types import Latents, Trajectory


def draw_noise(x0: Latents, generator: torch.Generator) -> Latents:
    """Gaussian noise of the shape of some latents, drawn on the CPU so that every device has the same."""
    return torch.randn(x0.shape, generator=generator).to(x0.device)


def random_trajectory(x0: Latents, schedule: Schedule, generator: torch.Generator) -> Trajectory:
    """A picture under one noise at every level: arXiv 2211.09794, eq. 5, with the same noise throughout.

    Args:
        x0: [1, C, h, w] the picture's latents z_0.
        schedule: T intervals, in sampling order.
        generator: On the CPU; one noise is drawn from it.

    Returns:
        [T+1, C, h, w] in sampling order; the last is z_0 itself.
    """
    noise = draw_noise(x0, generator)
    return torch.cat([*(combine(x0, noise, interval.noisy) for interval in schedule), x0])


@final
@dataclass(frozen=True, kw_only=True)
class RandomPivot:
    """Null-text inversion around ``z_t = alpha z_0 + sigma noise``, one noise for the whole trajectory.

    Sampling starts from z_T of that trajectory.

    Attributes:
        steps: T, the steps of the sampler.
        inner_steps: N, at most so many steps of Adam for each.
        guidance: The weight w, of the optimisation and of every use of the result; None is the model's own.
        constants: Learning rate and early stop.
        seed: Of the noise.

    Raises:
        SettingError: A setting is out of range.
    """

    steps: Count = 50
    inner_steps: Count = 10
    guidance: Guidance | None = None
    constants: Constants = PUBLISHED
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_numbers(self)
        _ = self.null_text

    @property
    def null_text(self) -> NullText:
        """The method whose optimisation is used."""
        return NullText(
            steps=self.steps, inner_steps=self.inner_steps, guidance=self.guidance, constants=self.constants
        )

    def __call__(self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent) -> Inversion:
        """Inverts a photograph; see `nulltext.inversion.base.Inverter`.

        Raises:
            SettingError: `steps` is out of range for the model.
            CaptionError: The caption is empty, too long, or has an unknown word.
            DivergedError: Numbers became infinite or not-a-number.
        """
        return alone(model, self.inverting(model, photo, caption, on_progress))

    def inverting(
        self, model: Model, photo: Photo, caption: str, on_progress: OnProgress = silent
    ) -> Evaluations[Inversion]:
        """The inversion at work; see `nulltext.inversion.base.Inverter`."""
        w = model.guidance if self.guidance is None else self.guidance
        schedule = model.schedule(self.steps)
        cond, null = embed_captions(model, [caption]), model.embed([""])
        pivot = random_trajectory(model.encode(photo.pixels), schedule, torch.Generator().manual_seed(self.seed))
        nulls, drawn = yield from self.null_text.optimise(
            Guided(model, cond, w), schedule, pivot, null, on_progress, rounding=rounding_of(model)
        )
        return finish(
            self,
            model,
            photo,
            caption=caption,
            guidance=w,
            schedule=schedule,
            pivot=pivot,
            nulls=nulls,
            reconstruction=drawn,
        )
