"""Prompt-to-Prompt: edits that keep the source's layout, by its attention (Hertz et al., arXiv 2208.01626)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, cast, final, get_args

import torch
from torch.nn import functional as F

from nulltext import checks
from nulltext.attention.control import Chain, Control, Share, steps_of
from nulltext.attention.follow import Follow
from nulltext.attention.keep_layout import KeepLayout
from nulltext.attention.record import Record
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.attention.reweight import Reweight
from nulltext.attention.steering import Steering
from nulltext.attention.word_steps import WordSteps, find_in_any
from nulltext.checks import Count, Guidance, Range, check_numbers, checked
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.editing import spelled
from nulltext.editing.base import Edit, filled, in_force, recommended
from nulltext.editing.blend import Blend, Blender
from nulltext.editing.maps import AttentionMaps
from nulltext.errors import EmptyCaptionError, SettingError, shown
from nulltext.inversion.base import Inversion
from nulltext.inversion.reconstruct import holding, source_and_captions, step_nulls
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent
from nulltext.text.alignment import pair_words
from nulltext.text.words import Tokens
from nulltext.types import Latents

Kind = Literal["auto", "replace", "refine"]

WEIGHTS = (-4.0, 10.0)
"""The range of factors of words that makes sense."""


@final
@dataclass(frozen=True, kw_only=True)
class PromptToPrompt:
    """The sampler run with source and edits side by side, the edits' attention taken from the source's.

    Attributes:
        cross_attention: In which share of the steps the words of the edit look where those of the source look: the end,
            (start, end), or shares by word, "" for all others. More keeps the composition, less gives freedom. None is
            what the model recommends (`nulltext.models.recommended`), 0.8 if it says nothing.
        self_attention: In which share of the steps shapes and places are the source's: the end, or (start, end). None
            is what the model recommends, 0.4 if it says nothing.
        kind: "replace" swaps words one for one, "refine" aligns what both captions say and leaves new words free;
            "auto" replaces where both captions have the same number of words, else refines.
        reweight: Factors from -4 to 10 on the attention that words of the edit get.
        blend: Where the picture may change; None for everywhere.
        chain: Whether each caption edits the result of the one before instead of the source.
        most_tokens: The layout is kept at self-attention sites up to so many tokens.
        hold_source: Whether the source of any inversion is put back on the pivot after every step, as that of
            `DirectInversion` is: it is exact, and so is what edits follow.
        maps: Whether to keep the attention maps, to look at.
        guidance: The weight w; None is the inversion's own. Another is an error if the inversion has null embeddings.

    Raises:
        SettingError: A setting is out of range.
    """

    cross_attention: Annotated[Share | Mapping[str, Share] | None, spelled.CROSS] = field(
        default=None, metadata=recommended("cross_attention")
    )
    self_attention: Annotated[Share | None, spelled.SELF] = field(default=None, metadata=recommended("self_attention"))
    kind: Annotated[Kind, spelled.KIND] = "auto"
    reweight: Annotated[Mapping[str, float], spelled.WEIGHT] = field(default_factory=dict[str, float])
    blend: Blend | None = None
    chain: bool = False
    most_tokens: Annotated[Count, spelled.TOKENS] = 32 * 32
    hold_source: bool = False
    maps: bool = False
    guidance: Guidance | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        cross: Share | dict[str, Share] | None
        if isinstance(self.cross_attention, Mapping):
            cross = {word: _share("cross_attention", share) for word, share in self.cross_attention.items()}
        else:
            cross = None if self.cross_attention is None else _share("cross_attention", self.cross_attention)
        taken = {
            "cross_attention": cross,
            "self_attention": None if self.self_attention is None else _share("self_attention", self.self_attention),
            "reweight": _factors(self.reweight),
        }
        for name, value in taken.items():
            object.__setattr__(self, name, value)  # this is its constructor
        if self.kind not in get_args(Kind):
            raise SettingError(f"kind: got {shown(self.kind)}; expected {', '.join(get_args(Kind))}.")

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
        return draw(model, inversion, wanted, [self] * len(wanted), on_progress)

    @property
    def shares(self) -> Mapping[str, Share]:
        """The shares of steps of cross-attention that are given, by word, "" for all others."""
        match self.cross_attention:
            case None:
                return {}
            case Mapping():
                return self.cross_attention
            case share:
                return {"": share}

    def edit(self, source: Tokens, target: Tokens, length: int) -> Replace | Refine:
        """How the tokens of a caption follow those of its source.

        Raises:
            SettingError: "replace" is asked for captions with different numbers of words.
        """
        pairs = None if self.kind == "refine" else pair_words(source, target)
        if pairs is not None:
            return Replace.of(source, target, pairs, length)
        if self.kind == "replace":
            raise SettingError(
                f"got kind='replace' for {shown(source.caption)} ({len(source.words())} words) and "
                f"{shown(target.caption)} ({len(target.words())} words); expected as many. Take 'refine', or 'auto'."
            )
        return Refine.of(source, target, length)


def _share(name: str, share: Any) -> Share:  # noqa: ANN401  of any type until it is checked
    """A share of the steps in Python's own numbers, as it goes into records.

    Raises:
        SettingError: It is none.
    """
    try:
        match share:
            case (start, end) if isinstance(share, tuple):
                start, end = checked(name, start, checks.Share), checked(name, end, checks.Share)
                if start <= end:
                    return start, end
            case _:
                return checked(name, share, checks.Share)
    except SettingError:
        pass
    raise SettingError(
        f"{name}: got {shown(share)}; expected a share of the steps from 0 to 1, or (start, end) with start <= end."
    )


def _factors(reweight: Any) -> dict[str, float]:  # noqa: ANN401  as in `_share`
    """Factors by word, in Python's own numbers.

    Raises:
        SettingError: One is out of range.
    """
    low, high = WEIGHTS
    if not isinstance(reweight, Mapping):
        raise SettingError(f"reweight: got {shown(reweight)}; expected factors by word, as in {{'cat': 2.0}}.")
    return {
        word: checked(f"reweight[{shown(word)}]", factor, Annotated[float, Range(least=low, most=high)])
        for word, factor in cast("Mapping[str, float]", reweight).items()
    }


def draw(
    model: Model,
    inversion: Inversion,
    captions: Sequence[str],
    editors: Sequence[PromptToPrompt],
    on_progress: OnProgress = silent,
) -> Edit:
    """Draws captions side by side against one source, each with settings of its own.

    Args:
        model: The model it was inverted with.
        inversion: The inversion.
        captions: The new captions.
        editors: For each its settings; they must agree in `chain`, `maps`, `hold_source` and `guidance`.
        on_progress: Told of every step, phase "sample".

    Raises:
        MismatchError: Another model, schedule or guidance than the inversion's.
        CaptionError: A caption is empty, too long, has an unknown word, or lacks a word of the settings.
        SettingError: Settings that must agree do not, or "replace" is asked for different numbers of words.
        EmptyMaskError: A blend would let nothing change.
    """
    if not captions:
        raise EmptyCaptionError("got no caption; expected one or more. Say what the edited picture shall show.")
    common = {
        (editor.chain, editor.maps, editor.guidance, editor.most_tokens, editor.hold_source) for editor in editors
    }
    if len(common) > 1 or len(editors) != len(captions):
        raise SettingError(
            f"got {len(editors)} settings for {len(captions)} captions, of {len(common)} kinds of chain, maps, "
            "most_tokens, hold_source and guidance; expected one for each, alike in these."
        )
    w = inversion.check(model, editors[0].guidance)
    editors = [replace(in_force(editor, model), guidance=w) for editor in editors]
    first = editors[0]
    cond = source_and_captions(model, inversion, captions)
    tokens = [model.tokenize(caption) for caption in (inversion.caption, *captions)]
    targets, steps, length = tokens[1:], len(inversion.schedule), cond.text.shape[1]
    bases = tuple(range(len(targets))) if first.chain else (0,) * len(targets)
    size = (inversion.pivot.shape[-2], inversion.pivot.shape[-1])

    edits = tuple(
        editor.edit(tokens[base], target, length) for editor, base, target in zip(editors, bases, targets, strict=True)
    )
    blends = [editor.blend for editor in editors]
    record = Record(size)
    recording = first.maps or any(blend is not None and blend.by_maps for blend in blends)
    controls = _controls(editors, edits, targets, bases, record if recording else None, steps=steps, length=length)
    blender = Blender(blends, tokens, bases=bases, steps=steps, frame=inversion.frame, latent_size=size, record=record)

    steering = Steering(Chain(tuple(controls)), prompts=len(cond), latent_size=size) if controls else None
    hold = holding(model, inversion) if inversion.held or first.hold_source else None

    def after(done: int, x: Latents) -> Latents:
        return blender(done - 1, x if hold is None else hold(done, x))

    start = inversion.pivot[:1].to(model.device).expand(len(cond), -1, -1, -1)
    nulls = step_nulls(model, inversion)
    latents = sample(
        Guided(model, cond, w), inversion.schedule, start, nulls, on_progress, after=after, steering=steering
    )
    if steering is not None:
        steering.check()
    drawn = blender.finish(model.decode(latents).cpu())
    return Edit(
        captions=tuple(captions),
        pixels=drawn[1:],
        source=drawn[:1],
        frame=inversion.frame,
        kinds=tuple("replace" if isinstance(edit, Replace) else "refine" for edit in edits),
        masks=F.interpolate(blender.masks, size=drawn.shape[-2:]) if any(blends) else None,
        maps=AttentionMaps(tuple(tokens), record.maps().cpu(), drawn) if first.maps else None,
        editors=tuple(editors),
    )


def _controls(
    editors: Sequence[PromptToPrompt],
    edits: tuple[Replace | Refine, ...],
    targets: Sequence[Tokens],
    bases: tuple[int, ...],
    record: Record | None,
    *,
    steps: int,
    length: int,
) -> list[Control]:
    """What is done to the attention, in order; empty if the settings leave it alone.

    Maps are recorded before words are weighted: a negative weight would turn a word's place inside out, and the weight
    0 leave none to blend by.
    """
    controls: list[Control] = []
    when = WordSteps.of(targets, [editor.shares for editor in editors], steps=steps, length=length)
    factors = torch.ones(len(targets), length)
    for prompt, editor in enumerate(editors):
        for word, factor in editor.reweight.items():
            tokens = find_in_any(targets, word).get(prompt, [])
            factors[prompt, tokens] = factor
            if tokens and factor != 1 and not when.table[:, prompt, tokens].any():
                raise SettingError(
                    f"reweight acts in the steps of cross_attention, and there are none for {shown(word)} in "
                    f"{shown(targets[prompt].caption)}; expected a share of at least one step. Raise cross_attention."
                )
    if when.table.any():
        controls.append(Follow(edits, bases, when))
    if record is not None:
        controls.append(record)
    if (factors != 1).any():  # as in the authors' code only in the steps in which words follow the source
        controls.append(Reweight(factors, when))
    layout = tuple(steps_of(filled(editor.self_attention), steps) for editor in editors)
    if any(layout):
        controls.append(KeepLayout(bases, layout, editors[0].most_tokens))
    return controls
