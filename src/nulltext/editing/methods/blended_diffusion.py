"""Blended Latent Diffusion: the source, noised, put back outside a mask (Avrahami et al., arXiv 2206.02779)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, final

import torch
from torch.nn import functional as F

from nulltext.bars import teller
from nulltext.checks import Guidance, Range, Seed, check_numbers
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import combine
from nulltext.diffusion.rule import Rule
from nulltext.diffusion.sampling import sample
from nulltext.editing import spelled
from nulltext.editing.base import Edit, filled, in_force_for, listed_prompts, recommended
from nulltext.editing.masks import HALF, AnyMask, check_not_empty, pixel_masks, put_back
from nulltext.editing.strength import first_latents, last_steps
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, embed_negative, embed_prompts
from nulltext.progress import Telling, silent
from nulltext.types import Latents

WORD: Final = "blended-diffusion"


@final
@dataclass(frozen=True, kw_only=True)
class BlendedDiffusion:
    """The new prompt sampled inside a mask, and after every step the source's latents, noised anew, outside it.

    Algorithm 1 of the paper. At the end it fits the decoder's weights to the photograph outside the mask; here the
    photograph's pixels are put back there. Of the inversion it takes the image and the steps, nothing else.

    Attributes:
        mask: An image, or the path of one, drawn over the photograph: white may change, black must not; over the
            latents a cell may change that is more than half white. Or what finds one: a
            `nulltext.editing.masks.MaskSource`.
        strength: The share of the steps that are sampled, above 0 to 1; 0.75 is the authors'. With less, more of what
            was inside the mask is left. At 1 sampling begins with noise alone.
        guidance: The guidance scale w; None is the model's own.
        negative_prompt: What guidance leads away from; None is the inversion's own.
        rule: How guidance is done.
        paste: Whether the photograph's own pixels are put back where the mask is black. Off, what the decoder makes of
            the source's latents stays there, and of the edit's beside them.
        seed: Of the noise, the same for every prompt.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        z_{t-1} = m z_{t-1}(z_t, ∅, C') + (1 - m) (α_{t-1} z_0 + σ_{t-1} n)
    """

    mask: Annotated[AnyMask | None, spelled.MASK] = None
    strength: Annotated[float, Range(above=0, most=1)] = 0.75
    guidance: Guidance | None = field(default=None, metadata=recommended("guidance"))
    negative_prompt: str | None = None
    rule: Rule = field(default_factory=Rule)
    paste: bool = True
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_numbers(self)

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`. The edit's `source` is the image through the autoencoder.

        Raises:
            MismatchError: Another model or schedule than the inversion's.
            PromptError: A prompt is empty, too long, or has an unknown word.
            SettingError: There is no mask, or `strength` leaves no step.
            ImageError: The mask cannot be read, or has another aspect ratio than the photograph.
            EmptyMaskError: The mask has nothing white in it.
        """
        on_progress, wanted = teller(on_progress), listed_prompts(prompts)
        own = in_force_for(self, model, inversion)
        inversion.check(model)
        rest, size = last_steps(inversion.schedule, self.strength), inversion.frame.fitted
        levels = pixel_masks(model, inversion, self.mask, wanted, WORD)
        z0 = inversion.pivot[-1:]
        cells = (F.interpolate(levels, size=z0.shape[-2:], mode="area") > HALF).float()
        check_not_empty(cells)
        generator, inside = torch.Generator().manual_seed(self.seed), cells.to(model.device) > HALF

        def blend(done: int, x: Latents) -> Latents:
            source = z0
            if done < len(rest):
                source = combine(z0, torch.randn(z0.shape, generator=generator), rest[done - 1].clean)
            return torch.where(inside, x, source.to(x))

        noise, cond = torch.randn(z0.shape, generator=generator), embed_prompts(model, wanted, size)
        x = first_latents(z0, noise, rest, self.strength).to(model.device).expand(len(cond), -1, -1, -1)
        guided, nulls = (
            Guided(model, cond, self.rule.at(filled(own.guidance))),
            [embed_negative(model, filled(own.negative_prompt), size)] * len(rest),
        )
        pixels = model.decode(sample(guided, rest, x, nulls, on_progress, after=blend)).cpu()
        return Edit(
            prompts=wanted,
            pixels=put_back(pixels, inversion, levels) if self.paste else pixels,
            source=model.decode(z0.to(model.device)).cpu(),
            frame=inversion.frame,
            masks=F.interpolate(cells, size=size),
            settings=(own,) * len(wanted),
        )
