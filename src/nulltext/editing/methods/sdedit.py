"""SDEdit: noise the image half-way and sample the rest under the new prompt (Meng et al., arXiv 2108.01073)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, final

import torch

from nulltext.bars import teller
from nulltext.checks import Guidance, Range, Seed, check_numbers
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import combine
from nulltext.diffusion.rule import Rule
from nulltext.diffusion.sampling import sample
from nulltext.editing.base import Edit, filled, in_force_for, listed_prompts, recommended
from nulltext.editing.strength import last_steps
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model, embed_negative, embed_prompts
from nulltext.progress import Telling, silent


@final
@dataclass(frozen=True, kw_only=True)
class SDEdit:
    """The image's latents with fresh noise, sampled under the new prompt.

    Of the inversion it takes the image and the steps, nothing else. Which step it begins with is the arithmetic of
    diffusers' ``StableDiffusionImg2ImgPipeline``.

    Attributes:
        strength: The share of the steps that are sampled, above 0 to 1: more follows the prompt, less the image.
            Even at 1 the first level has a little of the image in it, unless the model's schedule begins with noise
            alone.
        guidance: The guidance scale w; None is the model's own.
        negative_prompt: What guidance leads away from; None is the inversion's own.
        rule: How guidance is done.
        seed: Of the noise, the same for every prompt.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        x_t0 = α_t0 z_0 + σ_t0 n
        z_{t-1} = z_{t-1}(z_t, ∅, C'), from t0 on
    """

    strength: Annotated[float, Range(above=0, most=1)] = 0.8
    guidance: Guidance | None = field(default=None, metadata=recommended("guidance"))
    negative_prompt: str | None = None
    rule: Rule = field(default_factory=Rule)
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
            SettingError: `strength` leaves no step to sample.
        """
        on_progress = teller(on_progress)
        wanted = listed_prompts(prompts)
        inversion.check(model)
        rest, size = last_steps(inversion.schedule, self.strength), inversion.frame.fitted
        own = in_force_for(self, model, inversion)
        cond, null = embed_prompts(model, wanted, size), embed_negative(model, filled(own.negative_prompt), size)
        guided = Guided(model, cond, self.rule.at(filled(own.guidance)))
        z0 = inversion.pivot[-1:]
        noise = torch.randn(z0.shape, generator=torch.Generator().manual_seed(self.seed))
        start = combine(z0, noise, rest[0].noisy).to(model.device).expand(len(cond), -1, -1, -1)
        output = model.decode(sample(guided, rest, start, [null] * len(rest), on_progress)).cpu()
        source = model.decode(z0.to(model.device)).cpu()
        return Edit(prompts=wanted, pixels=output, source=source, frame=inversion.frame, settings=(own,) * len(wanted))
