"""Edits whose right answer is known: the renderer draws the very picture that the new caption asks for."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, stdev
from typing import Any

from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from nulltext.bench.each import each
from nulltext.bench.pictures import scene_photo
from nulltext.editing.base import Editor
from nulltext.editing.blend import Blend
from nulltext.editing.change import Change
from nulltext.editing.methods.caption_swap import CaptionSwap
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.base import Inversion
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.null_text import NullText
from nulltext.judges import Judges, words_of
from nulltext.metrics import psnr, structural_similarity
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent
from nulltext.scenes.captions import caption, one_word_edits
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene
from nulltext.types import OnePixels

KINDS: Mapping[str, tuple[str, ...]] = {
    "color": ("color",),
    "shape": ("shape",),
    "surface": ("pattern", "finish"),
    "ground": ("ground",),
    "time": ("time",),
}
"""What is edited, and which words of a scene that is."""
LOCAL = ("color", "shape", "surface")
"""Kinds of edits that change a thing, and leave what is around it but for a shadow."""
SCENES = 60
FIRST = 10_000
"""The first held-out seed measured on."""
CHANGED = 0.04
"""A pixel changes if a channel differs by more than this, of a range of 2."""
LEAST_OUTSIDE = 0.01
"""Below this share of the picture outside the change, there is no outside to speak of."""


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """One edit whose answer is known.

    Attributes:
        kind: One of `KINDS`.
        before: The scene that is inverted.
        after: The scene with one word changed.
        caption: What is asked for.
        outside: [H, W] where the two pictures do not differ.
        truth: [1, 3, H, W] in [-1, 1] the picture of `after`.
    """

    kind: str
    before: Scene
    after: Scene
    caption: str
    outside: Bool[Tensor, "height width"]
    truth: OnePixels

    @property
    def words(self) -> tuple[str, ...]:
        """The kinds of words in which the scenes differ."""
        old, new = words_of(self.before), words_of(self.after)
        return tuple(head for head in old if old[head] != new[head])


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over edits.

    Attributes:
        mean: The mean.
        low, high: Its 95 % interval: Wilson's for shares, else by the normal distribution.
        count: Over how many edits.
    """

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How good the edits of one method are.

    Attributes:
        success: Share of edits in which the judges read the new word.
        outside_db: PSNR to the true picture where nothing should change, decibels.
        truth_db: PSNR to the true picture, decibels.
        truth_ssim: Structural similarity to it, up to 1.
    """

    success: Mean
    outside_db: Mean
    truth_db: Mean
    truth_ssim: Mean


@dataclass(frozen=True, kw_only=True)
class EditFigures:
    """What `nulltext bench edits` measures.

    Attributes:
        methods: For each method its figures by kind of edit, over the "local" kinds, and "overall".
        pictures: How many pictures were inverted; each is edited once in every kind.
        guidance: The weight w.
        four_edits_cost: Four captions edited at once, as a multiple of the time of one.
    """

    methods: Mapping[str, Mapping[str, Figures]]
    pictures: int
    guidance: float
    four_edits_cost: float


@dataclass(frozen=True, kw_only=True)
class _Measured:
    kind: str
    success: bool
    outside_db: float | None
    truth_db: float
    truth_ssim: float


Method = Callable[[GroundTruth], Editor]
"""The editor that a method takes for an edit."""
MOST_AT_ONCE = 16
"""Captions drawn in one batch."""


def blend_of(edit: GroundTruth) -> Blend | None:
    """What a user would name to keep an edit local: the thing that changes, before and after. Else nothing is local."""
    if edit.kind not in LOCAL:
        return None
    return Blend(edit.before.things[0].shape, edit.after.things[0].shape)


def plain(_: GroundTruth) -> CaptionSwap:
    """The new caption without any control."""
    return CaptionSwap()


def prompt_to_prompt(_: GroundTruth) -> PromptToPrompt:
    """Prompt-to-Prompt as it comes."""
    return PromptToPrompt()


def blended(edit: GroundTruth) -> PromptToPrompt:
    """The same, kept local where the edit is."""
    return PromptToPrompt(blend=blend_of(edit))


METHODS: dict[str, Method] = {"plain": plain, "p2p": prompt_to_prompt, "p2p_blend": blended}


def ground_truth(scene: Scene, seed: int, *, height: int, width: int) -> list[GroundTruth]:
    """One edit of every kind; which word it becomes is drawn.

    Args:
        scene: A scene of one thing.
        seed: For the draw.
        height: Of the pictures, in pixels.
        width: Likewise.
    """
    draw = random.Random(seed)  # noqa: S311  a choice of words, not a secret
    edits = list(one_word_edits(scene))
    chosen = [(name, draw.choice([after for kind, after in edits if kind in kinds])) for name, kinds in KINDS.items()]
    before, *pictures = render([scene, *(after for _, after in chosen)], height=height, width=width).pixels
    return [
        GroundTruth(
            kind=kind,
            before=scene,
            after=after,
            caption=caption(after),
            outside=unchanged(before[None], truth[None]),
            truth=truth[None],
        )
        for (kind, after), truth in zip(chosen, pictures, strict=True)
    ]


def measure_edits(
    model: Model,
    *,
    methods: Mapping[str, Method] = METHODS,
    judges: Judges | None = None,
    limit: int | None = None,
    first: int = FIRST,
    steps: int = 50,
    inner_steps: int = 10,
    guidance: float | None = None,
    workers: int = 1,
    on_progress: OnProgress = silent,
) -> EditFigures:
    """Inverts held-out scenes, edits each in every kind by every method, and compares with the true pictures.

    Args:
        model: The model; it has to know the words of `scenes`.
        methods: The methods by name.
        judges: The judges; the embedded ones if None.
        limit: At most so many pictures; 60 if None.
        first: The first held-out seed.
        steps: T.
        inner_steps: N.
        guidance: The weight w; the model's own if None.
        workers: How many pictures at a time; more than one needs a model on the CPU.
        on_progress: Told of every step of every picture, numbered, or with several workers of every picture.

    Raises:
        SettingError: A setting is out of range, or scikit-image is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    judges = judges or Judges.load()
    inverter = NullText(steps=steps, inner_steps=inner_steps, guidance=guidance)
    count = SCENES if limit is None else min(limit, SCENES)
    seeds = range(first, first + count)
    measure = partial(_measure, methods=methods, inverter=inverter, judges=judges)
    measured = each(model, seeds, measure, workers=workers, on_progress=on_progress)
    return EditFigures(
        methods={name: _by_kind([edit for one in measured for edit in one[name]]) for name in methods},
        pictures=count,
        guidance=model.guidance if guidance is None else guidance,
        four_edits_cost=_four_edits_cost(model, first, steps=steps),
    )


def _measure(
    model: Model,
    seed: int,
    on_progress: OnProgress,
    *,
    methods: Mapping[str, Method],
    inverter: NullText,
    judges: Judges,
) -> dict[str, list[_Measured]]:
    """What every method makes of the edits of one scene."""
    scene = sample_scene(HELD_OUT_SEEDS[seed], things=1)
    height, width = model.default_size
    inversion = inverter(model, *scene_photo(scene, model), on_progress)
    edits = ground_truth(scene, seed, height=height, width=width)
    asked = [(edit, method(edit)) for method in methods.values() for edit in edits]
    drawn = iter(draw_all(model, inversion, [(edit.caption, editor) for edit, editor in asked], on_progress))
    return {name: [_compare(edit, next(drawn), judges) for edit in edits] for name in methods}


def draw_all(
    model: Model, inversion: Inversion, asked: Sequence[tuple[str, Editor]], on_progress: OnProgress = silent
) -> list[OnePixels]:
    """Pictures of captions, each by an editor of its own, drawn together where that is possible and none twice.

    Args:
        model: The model it was inverted with.
        inversion: The inversion.
        asked: Captions and their editors. Those of Prompt-to-Prompt share a batch if only their `Change` differs.
        on_progress: Told of every step.

    Returns:
        A picture [1, 3, H, W] for each, in the same order.
    """
    different: list[tuple[str, Editor]] = []
    for one in asked:
        if one not in different:
            different.append(one)
    controlled: list[tuple[str, PromptToPrompt]] = [
        (caption, editor) for caption, editor in different if isinstance(editor, PromptToPrompt)
    ]
    pictures: list[tuple[tuple[str, Editor], OnePixels]] = []
    plain: dict[str, Any] = vars(Change())
    while controlled:
        run = replace(controlled[0][1], **plain)
        alike = [(caption, editor) for caption, editor in controlled if replace(editor, **plain) == run]
        batch: list[tuple[str, PromptToPrompt]] = alike[:MOST_AT_ONCE]
        drawn = run.each(model, inversion, batch, on_progress).pixels
        pictures += [(one, drawn[i : i + 1]) for i, one in enumerate(batch)]
        controlled = [one for one in controlled if one not in batch]
    rest = [one for one in different if not isinstance(one[1], PromptToPrompt)]
    while rest:
        editor = rest[0][1]
        same = [one for one in rest if one[1] == editor][:MOST_AT_ONCE]
        drawn = editor(model, inversion, [caption for caption, _ in same], on_progress).pixels
        pictures += [(one, drawn[i : i + 1]) for i, one in enumerate(same)]
        rest = [one for one in rest if one not in same]
    return [next(pixels for which, pixels in pictures if which == one) for one in asked]


def unchanged(before: OnePixels, after: OnePixels) -> Bool[Tensor, "height width"]:
    """Where two pictures in [-1, 1] are alike, less a border of two pixels, which belongs to the change."""
    changed = ((before - after).abs().amax(1, keepdim=True) > CHANGED).float()
    return F.max_pool2d(changed, 5, 1, 2)[0, 0] == 0


def _compare(edit: GroundTruth, drawn: OnePixels, judges: Judges) -> _Measured:
    (read,), wanted = judges.read(drawn), words_of(edit.after)
    outside = edit.outside
    return _Measured(
        kind=edit.kind,
        success=all(read[head] == wanted[head] for head in edit.words),
        outside_db=psnr(drawn[..., outside][:, :, None], edit.truth[..., outside][:, :, None])
        if outside.float().mean() > LEAST_OUTSIDE
        else None,
        truth_db=psnr(drawn, edit.truth),
        truth_ssim=structural_similarity(drawn, edit.truth),
    )


def _by_kind(edits: Sequence[_Measured]) -> dict[str, Figures]:
    groups = {"overall": tuple(KINDS), "local": LOCAL, **{kind: (kind,) for kind in KINDS}}
    return {name: _figures([edit for edit in edits if edit.kind in kinds]) for name, kinds in groups.items()}


def _figures(edits: Sequence[_Measured]) -> Figures:
    return Figures(
        success=share([edit.success for edit in edits]),
        outside_db=mean([edit.outside_db for edit in edits if edit.outside_db is not None]),
        truth_db=mean([edit.truth_db for edit in edits]),
        truth_ssim=mean([edit.truth_ssim for edit in edits]),
    )


Z = 1.959964
"""The 97.5th percentile of the normal distribution."""


def mean(values: Sequence[float]) -> Mean:
    """A mean and its 95 % interval by the normal distribution; not-a-number where there is nothing to average."""
    if not values:
        return Mean(mean=math.nan, low=math.nan, high=math.nan, count=0)
    middle = fmean(values)
    margin = Z * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Mean(mean=middle, low=middle - margin, high=middle + margin, count=len(values))


def share(successes: Sequence[bool]) -> Mean:
    """A share and its 95 % interval: E. B. Wilson, 1927."""
    n = len(successes)
    if not n:
        return mean([])
    p = sum(successes) / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    margin = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Mean(mean=p, low=middle - margin, high=middle + margin, count=n)


def _four_edits_cost(model: Model, seed: int, *, steps: int) -> float:
    """The time of four captions in one batch over that of one, the best of two tries each."""
    scene = sample_scene(HELD_OUT_SEEDS[seed], things=1)
    inversion = DDIM(steps=steps)(model, *scene_photo(scene, model))
    captions = [caption(after) for _, after in one_word_edits(scene)][:4]

    def seconds(captions: Sequence[str]) -> float:
        tries: list[float] = []
        for _ in range(2):
            start = time.perf_counter()
            PromptToPrompt(guidance=model.guidance)(model, inversion, captions)
            tries.append(time.perf_counter() - start)
        return min(tries)

    return seconds(captions) / seconds(captions[:1])
