"""DiffEdit's mask: where two prompts disagree about the noise (Couairon et al., arXiv 2210.11427, section 3.2)."""

from dataclasses import dataclass
from typing import Annotated, final

import torch

from nulltext.checks import Count, Range, Seed, check_finite, check_numbers
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.levels import combine, split
from nulltext.diffusion.schedule import Interval
from nulltext.diffusion.sharing import saying_what_fits
from nulltext.editing.strength import last_steps
from nulltext.errors import EmptyMaskError, OutOfMemoryError, shown
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import source_and_targets
from nulltext.models.base import Model
from nulltext.types import Latents, Mask


@final
@dataclass(frozen=True, kw_only=True)
class DiffEditMask:
    """The image is noised several times, and the noise predicted under both prompts: where they differ, it may change.

    No guidance is needed: it would multiply all differences by w, and they are compared with their mean.

    Attributes:
        samples: How many noisings.
        strength: How far the image is noised, as the share of the steps that would be left, above 0 to 1.
        ratio: At which multiple of their mean differences are cut off, above 0; that multiple then counts as 1.
        threshold: Above which share of the highest difference a place may change, 0 to 1.
        seed: Of the noise.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        m = |ε_θ(z_t, C') - ε_θ(z_t, C)|, its mean over noisings and channels, clipped and cut at a threshold
    """

    samples: Count = 10
    strength: Annotated[float, Range(above=0, most=1)] = 0.5
    ratio: Annotated[float, Range(above=0)] = 3.0
    threshold: Annotated[float, Range(least=0, below=1)] = 0.5
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_numbers(self)

    @torch.no_grad()
    def __call__(self, model: Model, inversion: Inversion, prompt: str) -> Mask:
        """See `nulltext.editing.masks.MaskSource`.

        Raises:
            MismatchError: Another model than the inversion's.
            PromptError: The prompt is empty, too long, or has an unknown word.
            SettingError: `strength` leaves no step.
            DivergedError: The predicted noise is infinite or not-a-number.
            EmptyMaskError: The prompts say the same to the model, or differ nowhere enough.
        """
        inversion.check(model)
        interval = last_steps(inversion.schedule, self.strength)[0]
        prompts = source_and_targets(model, inversion, [prompt])
        z0 = inversion.pivot[-1:]
        noise = torch.randn(self.samples, *z0.shape[1:], generator=torch.Generator().manual_seed(self.seed))
        x = combine(z0.expand_as(noise), noise, interval.noisy).to(model.device)
        source, target = _noise(model, x, interval, prompts)
        difference = (target - source).abs().mean((0, 1))
        check_finite("predicted noise", difference)
        # The very same prompt gives rounding errors alone, which divided by their mean would be a mask like any other.
        rounding = torch.finfo(model.dtype).eps * source.abs().mean()
        if torch.equal(prompts.text[0], prompts.text[1]) or difference.mean() <= rounding:
            raise EmptyMaskError(
                f"the mask of {shown(prompt)} is empty: the model sees no difference from the source prompt "
                f"{shown(inversion.prompt)}; expected another prompt. Change a word, or give a mask of another kind."
            )
        most = self.ratio * difference.mean()
        mask = difference.clamp(max=most) / most > self.threshold
        if not mask.any():
            raise EmptyMaskError(
                f"the mask of {shown(prompt)} is empty: the highest difference from the source prompt is "
                f"{difference.max() / most:.2f} of {self.ratio:g} times the mean; expected more than the threshold of "
                f"{self.threshold:g}. Lower it, or the ratio."
            )
        return mask[None, None].float().cpu()


def _noise(model: Model, x: Latents, interval: Interval, prompts: Conditioning) -> tuple[Latents, Latents]:
    """What the network takes for the noise in [n, C, h, w] latents, under each of two prompts.

    All in one batch, which is halved where the memory does not hold it.
    """
    both = torch.cat([x, x])
    cond = Conditioning.cat([prompts[:1].expand(len(x)), prompts[1:].expand(len(x))])
    try:
        with saying_what_fits(x):
            output = model.predict(both, interval.t, cond)
    except OutOfMemoryError:
        if len(x) == 1:
            raise
    else:
        _, eps = split(both, output, interval.noisy, model.prediction)
        return eps[: len(x)], eps[len(x) :]
    halves = [_noise(model, half, interval, prompts) for half in x.chunk(2)]
    return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])
