"""The sweep that the defaults of edits, and a model's guidance, are chosen by; on scenes apart from those measured."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nulltext.bench.edits import EditFigures, GroundTruth, Method, blend_of, measure_edits
from nulltext.editing.prompt_to_prompt import PromptToPrompt
from nulltext.judges import Judges
from nulltext.models.base import Model
from nulltext.progress import OnProgress, silent

SCENES = 8
FIRST = 20_000
"""The first held-out seed; `nulltext.bench.edits` measures on those from 10,000."""
GUIDANCE = (2.5, 4.0, 7.5)
CROSS = (0.4, 0.8, 1.0)
SELF = (0.2, 0.4, 0.6, 0.8)
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


def sweep_settings(
    model: Model,
    *,
    guidance: Sequence[float] = GUIDANCE,
    judges: Judges | None = None,
    limit: int | None = None,
    steps: int = 50,
    inner_steps: int = 10,
    on_progress: OnProgress = silent,
) -> list[EditFigures]:
    """Measures edits under every pair of cross- and self-attention shares, and every threshold of a blend.

    Args:
        model: The model; it has to know the words of `scenes`.
        guidance: The weights w to invert and edit at.
        judges: The judges; the embedded ones if None.
        limit: At most so many pictures for each; 8 if None.
        steps: T.
        inner_steps: N.
        on_progress: Told of every step of every picture, numbered.

    Returns:
        For every guidance the figures, with a method for every setting, named after it.

    Raises:
        SettingError: A setting is out of range, or scikit-image is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    count = SCENES if limit is None else min(limit, SCENES)
    return [
        measure_edits(
            model,
            methods=settings(),
            judges=judges,
            limit=count,
            first=FIRST,
            steps=steps,
            inner_steps=inner_steps,
            guidance=w,
            on_progress=on_progress,
        )
        for w in guidance
    ]


def settings() -> Mapping[str, Method]:
    """The settings tried, by name: shares without a blend, then thresholds with the default shares."""
    shares = {
        f"cross {cross:g}, self {own:g}": _method(PromptToPrompt(cross_attention=cross, self_attention=own))
        for cross, own in itertools.product(CROSS, SELF)
    }
    return shares | {f"blend over {threshold:g}": _method(PromptToPrompt(), threshold) for threshold in THRESHOLDS}


def _method(editor: PromptToPrompt, threshold: float | None = None) -> Method:
    def method(edit: GroundTruth) -> PromptToPrompt:
        blend = None if threshold is None else blend_of(edit)
        return replace(editor, blend=None if blend is None else replace(blend, threshold=threshold))

    return method
