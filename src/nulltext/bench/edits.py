"""Edits whose right answer is known: the renderer draws the very picture that the new caption asks for."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from nulltext.bench.pictures import scene_photo
from nulltext.editing.base import Editor
from nulltext.editing.blend import Blend
from nulltext.editing.caption_swap import CaptionSwap
from nulltext.editing.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.base import Inversion
from nulltext.inversion.null_text import NullText
from nulltext.judges import Judges, words_of
from nulltext.metrics import psnr, structural_similarity
from nulltext.models.base import Model
from nulltext.progress import OnProgress, numbered, silent
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
"""The editor that a method takes for an edit. Edits with equal editors are drawn in one batch."""


def blend_of(edit: GroundTruth) -> Blend | None:
    """What a user would name to keep an edit local: the thing that changes, before and after. Else nothing is local."""
    if edit.kind not in LOCAL:
        return None
    return Blend(edit.before.things[0].shape, edit.after.things[0].shape)


METHODS: Mapping[str, Method] = {
    "plain": lambda _: CaptionSwap(),
    "p2p": lambda _: PromptToPrompt(),
    "p2p_blend": lambda edit: PromptToPrompt(blend=blend_of(edit)),
}


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
            outside=_outside(before[None], truth[None]),
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
        on_progress: Told of every step of every picture, numbered.

    Raises:
        SettingError: A setting is out of range, or scikit-image is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    judges = judges or Judges.load()
    w = model.guidance if guidance is None else guidance
    inverter = NullText(steps=steps, inner_steps=inner_steps, guidance=w)
    count = SCENES if limit is None else min(limit, SCENES)
    height, width = model.default_size
    measured: dict[str, list[_Measured]] = {name: [] for name in methods}
    cost = math.nan
    for index in range(count):
        scene = sample_scene(HELD_OUT_SEEDS[first + index], things=1)
        tell = numbered(on_progress, index + 1, count)
        inversion = inverter(model, *scene_photo(scene, model), tell)
        edits = ground_truth(scene, first + index, height=height, width=width)
        for name, method in methods.items():
            for editor, batch in _batches(method, edits):
                drawn = editor(model, inversion, [edit.caption for edit in batch], tell).pixels
                measured[name] += [
                    _compare(edit, pixels[None], judges) for edit, pixels in zip(batch, drawn, strict=True)
                ]
        if index == 0:
            cost = _four_edits_cost(model, inversion, edits)
    return EditFigures(
        methods={name: _by_kind(edits) for name, edits in measured.items()},
        pictures=count,
        guidance=w,
        four_edits_cost=cost,
    )


def _batches(method: Method, edits: Sequence[GroundTruth]) -> list[tuple[Editor, list[GroundTruth]]]:
    batches: list[tuple[Editor, list[GroundTruth]]] = []
    for edit in edits:
        editor = method(edit)
        same = [batch for other, batch in batches if other == editor]
        if same:
            same[0].append(edit)
        else:
            batches.append((editor, [edit]))
    return batches


def _outside(before: OnePixels, after: OnePixels) -> Bool[Tensor, "height width"]:
    changed = ((before - after).abs().amax(1, keepdim=True) > CHANGED).float()
    return F.max_pool2d(changed, 5, 1, 2)[0, 0] == 0  # a border of two pixels belongs to the change


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


def _four_edits_cost(model: Model, inversion: Inversion, edits: Sequence[GroundTruth]) -> float:
    """The time of four captions in one batch over that of one, the best of two tries each."""

    def seconds(captions: Sequence[str]) -> float:
        tries: list[float] = []
        for _ in range(2):
            start = time.perf_counter()
            PromptToPrompt()(model, inversion, captions)
            tries.append(time.perf_counter() - start)
        return min(tries)

    captions = [edit.caption for edit in edits[:4]]
    return seconds(captions) / seconds(captions[:1])
