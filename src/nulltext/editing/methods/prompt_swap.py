"""The plainest edit: the new prompt in the old one's place."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

from nulltext.bars import teller
from nulltext.checks import Guidance, check_numbers
from nulltext.diffusion.rule import Rule
from nulltext.editing.base import Edit, listed_prompts, negative_of
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import replay
from nulltext.models.base import Model
from nulltext.progress import Telling, silent


@final
@dataclass(frozen=True, kw_only=True)
class PromptSwap:
    """The sampler run from z_T with the null embeddings of the inversion and the new prompt, attention left alone.

    Attributes:
        guidance: The guidance scale w; None is the inversion's own. Another is an error if the inversion has embeddings
            that were optimised for its own.
        negative_prompt: What guidance leads away from; None is the inversion's own. Another is an error if the
            inversion has embeddings that were optimised for its own.
        rule: How guidance is done. Another than the usual is an error with such embeddings.

    Raises:
        SettingError: The guidance is no finite number.

    Equation:
        z_{t-1} = z_{t-1}(z_t, ∅_t, C'), from z*_T
    """

    guidance: Guidance | None = None
    negative_prompt: str | None = None
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        check_numbers(self)

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`.

        Raises:
            MismatchError: Another model, schedule or guidance than the inversion's.
            PromptError: A prompt is empty, too long, or has an unknown word.
        """
        on_progress = teller(on_progress)
        wanted = listed_prompts(prompts)
        w = inversion.check(model, self.guidance)
        latents = replay(
            model,
            inversion,
            wanted,
            guidance=w,
            rule=self.rule,
            negative_prompt=self.negative_prompt,
            on_progress=on_progress,
        )
        images = model.decode(latents).cpu()
        return Edit(
            prompts=wanted,
            pixels=images[1:],
            source=images[:1],
            frame=inversion.frame,
            settings=(replace(self, guidance=w, negative_prompt=negative_of(self.negative_prompt, inversion)),)
            * len(wanted),
        )
