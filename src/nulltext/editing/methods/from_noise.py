"""What the model draws of a prompt where there is no photograph: the bound for editing's freedom."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from nulltext.bars import teller
from nulltext.checks import Guidance, Seed, check_numbers
from nulltext.diffusion.rule import Rule
from nulltext.editing.base import Edit, filled, in_force_for, listed_prompts, recommended
from nulltext.editing.generate import generate
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model
from nulltext.progress import Telling, silent


@final
@dataclass(frozen=True, kw_only=True)
class FromNoise:
    """The new prompt sampled from noise alone, of the photograph's size and in the inversion's steps.

    It shows what the model makes of the prompt and keeps nothing of the photograph: the row "generated" of the
    paper's comparison.

    Attributes:
        guidance: The guidance scale w; None is the model's own.
        negative_prompt: What guidance leads away from; None is the inversion's own.
        rule: How guidance is done.
        seed: Of the noise, the same for every prompt.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        z_T = n
        z_{t-1} = z_{t-1}(z_t, ∅, C')
    """

    guidance: Guidance | None = field(default=None, metadata=recommended("guidance"))
    negative_prompt: str | None = None
    rule: Rule = field(default_factory=Rule)
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_numbers(self)

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Draws; see `nulltext.editing.base.Editor`. The edit's `source` is the image through the autoencoder.

        Raises:
            MismatchError: Another model or schedule than the inversion's.
            PromptError: A prompt is empty, too long, or has an unknown word.
        """
        on_progress = teller(on_progress)
        wanted = listed_prompts(prompts)
        inversion.check(model)
        own = in_force_for(self, model, inversion)
        output = generate(
            model,
            wanted,
            steps=len(inversion.schedule),
            guidance=own.guidance,
            seed=[self.seed] * len(wanted),
            size=inversion.frame.fitted,
            negative_prompt=filled(own.negative_prompt),
            rule=self.rule,
            on_progress=on_progress,
        )
        source = model.decode(inversion.pivot[-1:].to(model.device)).cpu()
        return Edit(prompts=wanted, pixels=output, source=source, frame=inversion.frame, settings=(own,) * len(wanted))
