"""Prompt-to-Prompt: edits that keep the source's layout, by its attention (Hertz et al., arXiv 2208.01626)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Annotated, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.control import Chain, Control, steps_of
from nulltext.attention.follow import Follow
from nulltext.attention.keep_layout import KeepLayout
from nulltext.attention.record import Record
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.attention.reweight import Reweight
from nulltext.attention.word_steps import WordSteps, find_in_any
from nulltext.bars import teller
from nulltext.checks import Count, Guidance
from nulltext.diffusion.rule import Rule
from nulltext.editing import spelled
from nulltext.editing.base import Edit, filled, in_force, listed_prompts, negative_of
from nulltext.editing.blending import Blender
from nulltext.editing.change import Change
from nulltext.editing.maps import AttentionMaps
from nulltext.editing.masks import mask_of
from nulltext.errors import EmptyPromptError, SettingError, shown
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import replay
from nulltext.models.base import Model, check_prompts
from nulltext.progress import Telling, silent
from nulltext.text.words import Tokens
from nulltext.types import Latents


@final
@dataclass(frozen=True, kw_only=True)
class PromptToPrompt(Change):
    """The sampler run with source and edits side by side, the edits' attention taken from the source's.

    Its change is that of every prompt, unless prompts have changes of their own (`each`).

    Attributes:
        chain: Whether each prompt edits the result of the one before instead of the source.
        most_tokens: The layout is kept at self-attention sites up to so many tokens.
        correct_source: Whether the source of any inversion is put back on the pivot after every step, as that of
            `DirectInversion` is: it is exact, and so is what edits follow.
        maps: Whether to keep the attention maps, to look at.
        guidance: The guidance scale w; None is the inversion's own. Another is an error if the inversion has embeddings
            that were optimised for its own.
        negative_prompt: What guidance leads away from; None is the inversion's own. Another is an error if the
            inversion has embeddings that were optimised for its own.
        rule: How guidance is done. Another than the usual is an error with such embeddings, unless the source is held.

    Raises:
        SettingError: A setting is out of range.

    Equation:
        M'_t = M_t of the source, for the words that both prompts have, while t > τ
        z_{t-1} = m z'_{t-1} + (1 - m) z_{t-1} of the source, with a blend's mask m
    """

    chain: bool = False
    most_tokens: Annotated[Count, spelled.TOKENS] = 32 * 32
    correct_source: bool = False
    maps: bool = False
    guidance: Guidance | None = None
    negative_prompt: str | None = None
    rule: Rule = field(default_factory=Rule)

    @property
    def run(self) -> "PromptToPrompt":
        """What holds for a run alone: the editor without a change of its own."""
        return replace(self, **vars(Change()))

    @property
    def change(self) -> Change:
        """What it says of one prompt."""
        return Change(**{each.name: getattr(self, each.name) for each in fields(Change)})

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`.

        Raises:
            MismatchError: Another model, schedule or guidance than the inversion's.
            PromptError: A prompt is empty, too long, has an unknown word, or lacks a word of the settings.
            SettingError: "replace" is asked for prompts with different numbers of words.
            EmptyMaskError: The blend would let nothing change.
        """
        on_progress = teller(on_progress)
        wanted = listed_prompts(prompts)
        return self.each(model, inversion, [(prompt, self) for prompt in wanted], on_progress)

    def each(
        self,
        model: Model,
        inversion: Inversion,
        changes: Sequence[tuple[str, Change]],
        on_progress: Telling = silent,
    ) -> Edit:
        """Edits side by side against one source, each prompt with a change of its own.

        Args:
            model: The model it was inverted with.
            inversion: The inversion.
            changes: The target prompts, each with its change. What holds for the run is this editor's; of an editor
                given as a change only what it says of one prompt counts.
            on_progress: Called for every step, phase "sample".

        Raises:
            MismatchError: Another model, schedule or guidance than the inversion's.
            PromptError: A prompt is empty, too long, has an unknown word, or lacks a word of its change.
            SettingError: "replace" is asked for prompts with different numbers of words.
            EmptyMaskError: A blend would let nothing change.
        """
        on_progress = teller(on_progress)
        if not changes:
            raise EmptyPromptError("got no prompt; expected one or more. Say what the edited image shall show.")
        own = replace(
            in_force(self, model),
            guidance=inversion.check(model, self.guidance),
            negative_prompt=negative_of(self.negative_prompt, inversion),
        )
        settings = tuple(own if change is self else in_force(change, model) for _, change in changes)
        run = _Run.of(own, model, inversion, [prompt for prompt, _ in changes], settings)
        latents = replay(
            model,
            inversion.corrected() if self.correct_source else inversion,
            run.prompts,
            guidance=own.guidance,
            rule=self.rule,
            negative_prompt=own.negative_prompt,
            control=Chain(run.controls) if run.controls else None,
            after=run.after,
            on_progress=on_progress,
        )
        images = run.blender.finish(model.decode(latents).cpu())
        masked = tuple(change.blend is not None for change in settings)
        return Edit(
            prompts=run.prompts,
            pixels=images[1:],
            source=images[:1],
            frame=inversion.frame,
            kinds=tuple("replace" if isinstance(each, Replace) else "refine" for each in run.alignments),
            masks=F.interpolate(run.blender.masks, size=images.shape[-2:]) if any(masked) else None,
            masked=masked,
            maps=AttentionMaps(run.tokens, run.record.maps().cpu(), images) if self.maps else None,
            settings=settings,
        )


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class _Run:
    """Target prompts with their words looked up: what is done while they are sampled."""

    prompts: tuple[str, ...]
    tokens: tuple[Tokens, ...]
    alignments: tuple[Replace | Refine, ...]
    controls: tuple[Control, ...]
    record: Record
    blender: Blender

    def after(self, done: int, x: Latents) -> Latents:
        """Blends after every step."""
        return self.blender(done - 1, x)

    @classmethod
    def of(
        cls,
        editor: PromptToPrompt,
        model: Model,
        inversion: Inversion,
        prompts: Sequence[str],
        settings: Sequence[Change],
    ) -> "_Run":
        """Looks the words up.

        Args:
            editor: What holds for all prompts, in force.
            model: The model.
            inversion: The inversion.
            prompts: The target prompts.
            settings: For each of them its change, in force.
        """
        check_prompts(model, prompts)
        tokens = tuple(model.tokenize(prompt) for prompt in (inversion.prompt, *prompts))
        targets, steps, length = tokens[1:], len(inversion.schedule), model.text_length
        bases = tuple(range(len(targets))) if editor.chain else (0,) * len(targets)
        size = (inversion.pivot.shape[-2], inversion.pivot.shape[-1])
        alignments = tuple(
            change.alignment(tokens[base], target, length)
            for change, base, target in zip(settings, bases, targets, strict=True)
        )
        blends, record = [change.blend for change in settings], Record(size)
        recording = editor.maps or any(blend is not None and blend.by_maps for blend in blends)
        when = WordSteps.of(targets, [change.shares for change in settings], steps=steps, length=length)
        factors = _factors(settings, targets, when)
        layout = tuple(steps_of(filled(change.self_attention), steps) for change in settings)
        return cls(
            prompts=tuple(prompts),
            tokens=tokens,
            alignments=alignments,
            controls=(
                # Maps are recorded before words are weighted: a negative weight would turn a word's place inside out,
                # and the weight 0 leave none to blend by.
                *([Follow(alignments, bases, when)] if when.table.any() else []),
                *([record] if recording else []),
                # As in the authors' code only in the steps in which words follow the source.
                *([Reweight(factors, when)] if (factors != 1).any() else []),
                *([KeepLayout(bases, layout, editor.most_tokens)] if any(layout) else []),
            ),
            record=record,
            blender=Blender(
                blends,
                tokens,
                bases=bases,
                steps=steps,
                find_mask=partial(mask_of, model, inversion),
                latent_size=size,
                record=record,
            ),
        )


def _factors(settings: Sequence[Change], targets: Sequence[Tokens], when: WordSteps) -> Float[Tensor, "prompt token"]:
    """The factor of every token of every target prompt; 1 where nothing changes.

    Raises:
        WordNotFoundError: A word is in none of the prompts.
        SettingError: A factor would act in no step.
    """
    factors = torch.ones(when.table.shape[1:])
    for prompt, change in enumerate(settings):
        for word, factor in change.reweight.items():
            tokens = find_in_any(targets, word).get(prompt, [])
            factors[prompt, tokens] = factor
            if tokens and factor != 1 and not when.table[:, prompt, tokens].any():
                raise SettingError(
                    f"reweight acts in the steps of cross_attention, and there are none for {shown(word)} in "
                    f"{shown(targets[prompt].prompt)}; expected a share of at least one step. Raise cross_attention."
                )
    return factors
