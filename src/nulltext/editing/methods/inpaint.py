"""Inpainting by a checkpoint made for it, which is shown the mask (Rombach et al., arXiv 2112.10752, section 4.5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, final

import torch
from torch.nn import functional as F

from nulltext.bars import teller
from nulltext.checks import Guidance, Range, Seed, check_numbers
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.rule import Rule
from nulltext.diffusion.sampling import sample
from nulltext.editing import spelled
from nulltext.editing.base import Edit, filled, in_force_for, listed_prompts, recommended
from nulltext.editing.masks import HALF, AnyMask, check_not_empty, pixel_masks, put_back
from nulltext.editing.strength import first_latents, last_steps
from nulltext.errors import SettingError
from nulltext.images import to_pixels
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, embed_negative, embed_prompts
from nulltext.models.inpainting import inpaints, showing
from nulltext.progress import Telling, silent

WORD: Final = "inpaint"


@final
@dataclass(frozen=True, kw_only=True)
class Inpaint:
    """The new prompt sampled inside a mask, by a denoiser that is shown the mask and what is left of the image.

    It gives what diffusers' ``StableDiffusionInpaintPipeline`` and ``StableDiffusionXLInpaintPipeline`` give for the
    same noise; as everywhere, latents of an image are the mean of what its autoencoder may draw. Of the inversion it
    takes the image and the steps, nothing else.

    Attributes:
        mask: An image, or the path of one, drawn over the photograph: white is sampled anew, from half of white on. Or
            what finds one: a `nulltext.editing.masks.MaskSource`.
        strength: The share of the steps that are sampled, above 0 to 1. At 1 they begin with noise alone; with less,
            the image inside the mask has a part in what is sampled there.
        guidance: The guidance scale w; None is the model's own.
        negative_prompt: What guidance leads away from; None is the inversion's own.
        rule: How guidance is done.
        paste: Whether the photograph's own pixels are put back where the mask is black. Off, as in the pipeline, all of
            the image is what the autoencoder makes of the sampled latents.
        seed: Of the noise, the same for every prompt.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        out = ε_θ([z_t, m, encode((1 - m) image)], t, C')
    """

    mask: Annotated[AnyMask | None, spelled.MASK] = None
    strength: Annotated[float, Range(above=0, most=1)] = 1.0
    guidance: Guidance | None = field(default=None, metadata=recommended("guidance"))
    negative_prompt: str | None = None
    rule: Rule = field(default_factory=Rule)
    paste: bool = False
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
            SettingError: The model is no inpainting checkpoint, there is no mask, or `strength` leaves no step.
            ImageError: The mask cannot be read, or has another aspect ratio than the photograph.
            EmptyMaskError: The mask has nothing white in it.
        """
        on_progress, wanted = teller(on_progress), listed_prompts(prompts)
        own = in_force_for(self, model, inversion)
        check_inpaints(model)
        inversion.check(model)
        rest, size = last_steps(inversion.schedule, self.strength), inversion.frame.fitted
        levels = pixel_masks(model, inversion, self.mask, wanted, WORD)
        masks, z0 = (levels >= HALF).float(), inversion.pivot[-1:]
        cells = F.interpolate(masks, size=z0.shape[-2:])
        check_not_empty(cells)
        left = model.encode(to_pixels(inversion.image) * (1 - masks))
        told = embed_prompts(model, wanted, size), embed_negative(model, filled(own.negative_prompt), size)
        cond, null = (showing(each, cells, left) for each in told)
        noise = torch.randn(z0.shape, generator=torch.Generator().manual_seed(self.seed))
        x = first_latents(z0, noise, rest, self.strength).to(model.device).expand(len(cond), -1, -1, -1)
        latents = sample(
            Guided(model, cond, self.rule.at(filled(own.guidance))), rest, x, [null] * len(rest), on_progress
        )
        pixels = model.decode(latents).cpu()
        return Edit(
            prompts=wanted,
            pixels=put_back(pixels, inversion, levels) if self.paste else pixels,
            source=model.decode(z0.to(model.device)).cpu(),
            frame=inversion.frame,
            masks=masks,
            settings=(own,) * len(wanted),
        )


def check_inpaints(model: Model) -> None:
    """Makes sure that a model's denoiser is shown a mask.

    Raises:
        SettingError: It is not.
    """
    if not inpaints(model):
        raise SettingError(
            f"got {WORD} with {model.identity.id}, whose denoiser is shown no mask; expected an inpainting checkpoint, "
            "such as stable-diffusion-v1-5/stable-diffusion-inpainting. Take blended-diffusion, which does with any."
        )
