"""Prompt-to-Prompt: edits that keep the source's layout, by its attention (Hertz et al., arXiv 2208.01626)."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch.nn import functional as F

from nulltext.attention.control import Chain, Control, Share, steps_of
from nulltext.attention.cross import Follow, Reweight
from nulltext.attention.layout import KeepLayout
from nulltext.attention.record import Record
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.attention.schedule import WordSteps, find_in_any
from nulltext.attention.session import controlled
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.editing.base import Edit
from nulltext.editing.blend import Blend, Blender
from nulltext.editing.maps import AttentionMaps
from nulltext.errors import EmptyCaptionError, SettingError
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import step_nulls
from nulltext.models.base import Model, embed_captions
from nulltext.progress import OnProgress, silent
from nulltext.text.alignment import pair_words
from nulltext.text.words import Tokens
from nulltext.types import Latents

Kind = Literal["replace", "refine"]
CROSS_ATTENTION = 0.8
WEIGHTS = (-4.0, 10.0)
"""The range of factors of words that makes sense."""


@final
@dataclass(frozen=True, kw_only=True)
class PromptToPrompt:
    """The sampler run with source and edits side by side, the edits' attention taken from the source's.

    Attributes:
        cross_attention: In which share of the steps the words of the edit look where those of the source look: the end,
            (start, end), or shares by word, "" for all others. More keeps the composition, less gives freedom.
        self_attention: In which share of the steps shapes and places are the source's: the end, or (start, end).
        kind: "replace" swaps words one for one, "refine" aligns what both captions say and leaves new words free;
            "auto" replaces where both captions have the same number of words, else refines.
        reweight: Factors from -4 to 10 on the attention that words of the edit get.
        blend: Where the picture may change; None for everywhere.
        chain: Whether each caption edits the result of the one before instead of the source.
        most_tokens: The layout is kept at self-attention sites up to so many tokens.
        maps: Whether to keep the attention maps, to look at.
        guidance: The weight w; None is the inversion's own. Another is an error if the inversion has null embeddings.

    Raises:
        SettingError: A setting is out of range.
    """

    cross_attention: Share | Mapping[str, Share] = CROSS_ATTENTION
    self_attention: Share = 0.4
    kind: Literal["auto", "replace", "refine"] = "auto"
    reweight: Mapping[str, float] = field(default_factory=dict[str, float])
    blend: Blend | None = None
    chain: bool = False
    most_tokens: int = 32 * 32
    maps: bool = False
    guidance: float | None = None

    def __post_init__(self) -> None:
        for name, shares in (("cross_attention", self._shares.values()), ("self_attention", [self.self_attention])):
            for share in shares:
                start, end = share if isinstance(share, tuple) else (0.0, share)
                if not 0 <= start <= end <= 1:
                    raise SettingError(
                        f"{name}: got {share!r}; expected a share of the steps from 0 to 1, or (start, end) with start "
                        "<= end."
                    )
        low, high = WEIGHTS
        for word, factor in self.reweight.items():
            if not low <= factor <= high:
                raise SettingError(f"reweight: got {factor:g} for {word!r}; expected {low:g} to {high:g}.")

    def __call__(
        self, model: Model, inversion: Inversion, captions: str | Sequence[str], on_progress: OnProgress = silent
    ) -> Edit:
        """Edits; see `nulltext.editing.base.Editor`.

        Raises:
            MismatchError: Another model, schedule or guidance than the inversion's.
            CaptionError: A caption is empty, too long, has an unknown word, or lacks a word of the settings.
            SettingError: "replace" is asked for captions with different numbers of words.
            EmptyMaskError: The blend would let nothing change.
        """
        wanted = (captions,) if isinstance(captions, str) else tuple(captions)
        if not wanted:
            raise EmptyCaptionError("got no caption; expected one or more. Say what the edited picture shall show.")
        w = inversion.check(model, self.guidance)
        cond = embed_captions(model, [inversion.caption, *wanted])
        tokens = [model.tokenize(caption) for caption in (inversion.caption, *wanted)]
        bases = tuple(range(len(wanted))) if self.chain else (0,) * len(wanted)
        steps, length = len(inversion.schedule), cond.shape[1]
        size = (inversion.pivot.shape[-2], inversion.pivot.shape[-1])

        kinds, controls = self._controls(tokens, bases, steps, length)
        record = Record(size)
        blender = None
        if self.blend is not None:
            blender = Blender(
                self.blend,
                tokens,
                bases=bases,
                first=steps_of(self.blend.start, steps).stop,
                frame=inversion.frame,
                latent_size=size,
                record=record,
            )
        if self.maps or (self.blend is not None and self.blend.by_maps):
            controls.append(record)

        start = inversion.pivot[:1].to(model.device).expand(len(cond), -1, -1, -1)
        with ExitStack() as stack:
            session = None
            if controls:
                control = Chain(tuple(controls))
                session = stack.enter_context(controlled(model, control, prompts=len(cond), latent_size=size))
                session.at(0)

            def after(done: int, x: Latents) -> Latents:
                if session is not None:
                    session.at(done)
                return x if blender is None else blender(done - 1, x)

            nulls = step_nulls(model, inversion)
            latents = sample(Guided(model, cond, w), inversion.schedule, start, nulls, on_progress, after=after)
        drawn = model.decode(latents).cpu()
        return Edit(
            captions=wanted,
            pixels=drawn[1:],
            source=drawn[:1],
            frame=inversion.frame,
            kinds=kinds,
            masks=None if blender is None else F.interpolate(blender.masks, size=drawn.shape[-2:]),
            maps=AttentionMaps(tuple(tokens), record.maps().cpu(), drawn) if self.maps else None,
        )

    @property
    def _shares(self) -> Mapping[str, Share]:
        return self.cross_attention if isinstance(self.cross_attention, Mapping) else {"": self.cross_attention}

    def _controls(
        self, tokens: Sequence[Tokens], bases: tuple[int, ...], steps: int, length: int
    ) -> tuple[tuple[Kind, ...], list[Control]]:
        """What is done to the attention, and which kind each edit is."""
        targets = tokens[1:]
        words = dict(self._shares)
        when = WordSteps.of(targets, steps=steps, length=length, share=words.pop("", CROSS_ATTENTION), words=words)
        edits = [self._edit(tokens[base], target, length) for target, base in zip(targets, bases, strict=True)]
        controls: list[Control] = []
        if when.table.any():
            controls.append(Follow(tuple(edits), bases, when))
        if self.reweight:  # as in the authors' code only while words follow the source
            factors = torch.ones(len(targets), length)
            for word, factor in self.reweight.items():
                for prompt, positions in find_in_any(targets, word).items():
                    factors[prompt, positions] = factor
            controls.append(Reweight(factors, when))
        kept = steps_of(self.self_attention, steps)
        if kept:
            controls.append(KeepLayout(bases, kept, self.most_tokens))
        kinds: list[Kind] = ["replace" if isinstance(edit, Replace) else "refine" for edit in edits]
        return tuple(kinds), controls

    def _edit(self, source: Tokens, target: Tokens, length: int) -> Replace | Refine:
        pairs = None if self.kind == "refine" else pair_words(source, target)
        if pairs is not None:
            return Replace.of(source, target, pairs, length)
        if self.kind == "replace":
            raise SettingError(
                f"got kind='replace' for {source.caption!r} ({len(source.words())} words) and {target.caption!r} "
                f"({len(target.words())} words); expected as many. Take 'refine', or 'auto'."
            )
        return Refine.of(source, target, length)
