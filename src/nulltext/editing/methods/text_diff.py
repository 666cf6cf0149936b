"""Text diffs: an image embedding turned by what tells two prompts apart (DALL-E 2, arXiv 2204.06125, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch.nn import functional

from nulltext.checks import Guidance, Share, check_numbers
from nulltext.diffusion.conditioning import Conditioning
from nulltext.editing.base import Edit, listed_prompts
from nulltext.errors import MismatchError
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import replay
from nulltext.inversion.source import source_embedding
from nulltext.models.base import Model, check_prompts
from nulltext.models.capabilities import ImageReader, image_reader_of
from nulltext.progress import Telling, silent
from nulltext.types import Pooled


@final
@dataclass(frozen=True, kw_only=True)
class TextDiff:
    """The sampler run from z_T with the image's CLIP embedding, turned towards the new prompt and away from the old.

    For models that are told of image embeddings alone (`docs/families` says which).

    Attributes:
        strength: How far the embedding is turned, as a share of the way to the direction between the prompts: 0 is the
            image itself. The paper goes up to 0.25 to 0.5.
        guidance: The guidance scale w; None is the inversion's own. Another is an error if the inversion has embeddings
            that were optimised for its own.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        d = normalised(text(C') - text(C))
        slerp(image, d, θ)
    """

    strength: Share = 0.35
    guidance: Guidance | None = None

    def __post_init__(self) -> None:
        check_numbers(self)

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`.

        Raises:
            MismatchError: The model is told of text, or is another than the inversion's, or the schedule or guidance.
            PromptError: A prompt is empty, too long, or has an unknown word.
        """
        wanted = listed_prompts(prompts)
        reader = image_reader_of(model)
        if reader is None:
            raise MismatchError(
                f"got {model.identity.id}, which is told of a prompt's words; expected a model that is told of an "
                "image embedding, such as Kandinsky 2.2, which text-diff turns. Take prompt-to-prompt."
            )
        w = inversion.check(model, self.guidance)
        check_prompts(model, wanted)
        latents = replay(
            model,
            inversion,
            targets=self._turned(reader, inversion, wanted),
            guidance=w,
            on_progress=on_progress,
        )
        images = model.decode(latents).cpu()
        return Edit(
            prompts=wanted,
            pixels=images[1:],
            source=images[:1],
            frame=inversion.frame,
            settings=(replace(self, guidance=w),) * len(wanted),
        )

    def _turned(self, reader: ImageReader, inversion: Inversion, prompts: Sequence[str]) -> list[Conditioning | None]:
        """What each edit is told; None for the source's own prompt, which turns nothing."""
        image = source_embedding(reader, inversion.prompt, inversion.photograph)  # z_i
        told: list[Conditioning | None] = []
        for prompt in prompts:
            if prompt == inversion.prompt:
                told.append(None)
                continue
            unit = functional.normalize(reader.read([prompt, inversion.prompt]), dim=-1)  # z_t, z_t0
            told.append(reader.told(turned(image, unit[:1] - unit[1:], self.strength)))
        return told


def turned(embedding: Pooled, direction: Pooled, share: float) -> Pooled:
    """Embeddings turned towards a direction, ``slerp(z_i, z_d, share)``; each keeps its length.

    Args:
        embedding: [B, D], of any length.
        direction: [B, D] likewise; zeros are no direction, and turn nothing.
        share: Of the angle between the two, 0 to 1.
    """
    length, of_direction = (each.square().sum(-1, keepdim=True).sqrt() for each in (embedding, direction))
    start, end = embedding / length, functional.normalize(direction, dim=-1)
    angle = (start * end).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    between = (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / sine
    fixed = (sine < 1e-6) | (of_direction == 0)  # noqa: PLR2004  parallel, or no direction
    return torch.where(fixed, start, between) * length
