"""The sweep that the defaults of edits, and a model's guidance, are chosen by; on scenes apart from those measured."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nulltext.bench.edits import METHODS, EditFigures, GroundTruth, Method, blend_of, measure_edits
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.judges import Judges
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent

SCENES = 8
FIRST = 20_000
"""The first held-out seed; `nulltext.bench.edits` measures on those from 10,000."""
GUIDANCE = (2.5, 4.0, 7.5)
CROSS = (0.4, 0.8, 1.0)
SELF = (0.4, 0.6, 0.8, 1.0)
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


def sweep_settings(
    model: Model,
    *,
    guidance: Sequence[float] = GUIDANCE,
    judges: Judges | None = None,
    limit: int | None = None,
    steps: int = 50,
    inner_steps: int = 10,
    workers: int = 1,
    on_progress: OnProgress = silent,
) -> list[EditFigures]:
    """Measures edits at several weights of guidance; at the model's own under every share and threshold as well.

    Args:
        model: The model; it has to know the words of `scenes`.
        guidance: The weights w to invert and edit at.
        judges: The judges; the embedded ones if None.
        limit: At most so many pictures for each; 8 if None.
        steps: T.
        inner_steps: N.
        workers: How many pictures at a time; more than one needs a model on the CPU.
        on_progress: Told of every step of every picture, numbered, or with several workers of every picture.

    Returns:
        For every guidance the figures, of `nulltext.bench.edits.METHODS`; at the model's own with a method for every
        pair of cross- and self-attention shares and every threshold of a blend, named after it.

    Raises:
        SettingError: A setting is out of range, or scikit-image is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    count = SCENES if limit is None else min(limit, SCENES)
    return [
        measure_edits(
            model,
            methods=METHODS | settings() if w == model.guidance else METHODS,
            judges=judges,
            limit=count,
            first=FIRST,
            steps=steps,
            inner_steps=inner_steps,
            guidance=w,
            workers=workers,
            on_progress=on_progress,
        )
        for w in guidance
    ]


def settings() -> dict[str, Method]:
    """The settings tried, by name: shares without a blend, then thresholds with the default shares."""
    methods: dict[str, Method] = {}
    for cross, own in itertools.product(CROSS, SELF):
        editor = PromptToPrompt(cross_attention=cross, self_attention=own)
        methods[f"cross {cross:g}, self {own:g}"] = partial(_editor, editor=editor, threshold=None)
    for threshold in THRESHOLDS:
        methods[f"blend over {threshold:g}"] = partial(_editor, editor=PromptToPrompt(), threshold=threshold)
    return methods


def _editor(edit: GroundTruth, *, editor: PromptToPrompt, threshold: float | None) -> PromptToPrompt:
    blend = None if threshold is None else blend_of(edit)
    return replace(editor, blend=None if blend is None else replace(blend, threshold=threshold))
