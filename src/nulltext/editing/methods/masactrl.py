"""MasaCtrl: the source's appearance in a layout of the target's own (Cao et al., arXiv 2304.08465)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

from nulltext.attention.keys_values import MutualSelfAttention
from nulltext.attention.sites import self_attention_layers
from nulltext.bars import teller
from nulltext.checks import Guidance, Share, check_numbers
from nulltext.diffusion.rule import Rule
from nulltext.editing.base import Edit, listed_prompts, negative_of
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import replay
from nulltext.models.base import Model
from nulltext.progress import Telling, silent


@final
@dataclass(frozen=True, kw_only=True)
class MasaCtrl:
    """The sampler run with source and edits side by side, the edits' self-attention looking at the source.

    It suits what changes shape or pose and keeps its looks: the target prompt makes the layout in the steps and layers
    before those given here, and what fills it are the source's keys and values, in both branches of guidance. Published
    are 4 of 50 steps, 10 of the 16 layers of Stable Diffusion, and a source prompt that says nothing; the source branch
    is here as the inversion has it.

    Attributes:
        start: After which share of the steps edits look at the source, 0 to 1; more leaves the layout more time.
        start_layer: From which share of the self-attention layers on, in the order in which the network passes them.
        correct_source: Whether the source of any inversion is put back on the pivot after every step, as that of
            `DirectInversion` is: edits look at the image itself, and not at a source that has drifted.
        guidance: The guidance scale w; None is the inversion's own. Another is an error if the inversion has embeddings
            that were optimised for its own.
        negative_prompt: What guidance leads away from; None is the inversion's own. Another is an error if the
            inversion has embeddings that were optimised for its own.
        rule: How guidance is done. Another than the usual is an error with such embeddings, unless the source is held.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        self-attention of the edit: softmax(Q' K^T / √d) V, with the source's K and V, from step S and layer L on
    """

    start: Share = 0.08
    start_layer: Share = 0.625
    correct_source: bool = True
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
            SessionError: The model has no self-attention.
        """
        on_progress = teller(on_progress)
        wanted = listed_prompts(prompts)
        w = inversion.check(model, self.guidance)
        latents = replay(
            model,
            inversion.corrected() if self.correct_source else inversion,
            wanted,
            guidance=w,
            negative_prompt=self.negative_prompt,
            rule=self.rule,
            control=self.control(model, len(inversion.schedule)),
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

    def control(self, model: Model, steps: int) -> MutualSelfAttention | None:
        """What is done to the attention in a run of so many steps; None if no step or no layer is left to act in."""
        layers = len(self_attention_layers(model.denoiser))
        first_step, first_layer = round(self.start * steps), round(self.start_layer * layers)
        if first_step == steps or first_layer == layers > 0:
            return None
        return MutualSelfAttention.of(model.denoiser, first_step=first_step, first_layer=first_layer)
