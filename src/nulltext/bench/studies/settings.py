"""The sweep that the defaults of edits, and a model's guidance, are chosen by; on scenes apart from those measured."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case
from nulltext.bench.cases.scenes import LOCAL, TUNED
from nulltext.bench.studies.editors import EDITORS, blended
from nulltext.bench.study import Setting, Study, scenes
from nulltext.bench.summary import ALL
from nulltext.editing.base import Editor
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model

GUIDANCE = (2.5, 4.0, 7.5)
CROSS = (0.4, 0.8, 1.0)
SELF = (0.4, 0.6, 0.8, 1.0)
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """The editors of `bench edits` at several weights of guidance; at the model's own those of `tried` as well."""
    found: list[Candidate] = []
    for w in setting.own.get("guidance") or GUIDANCE:
        inverter = always(NullText(steps=setting.steps, inner_steps=setting.inner_steps, guidance=w))
        editors = {**EDITORS, **(tried() if w == model.guidance else {})}
        found += [
            Candidate(name=f"{name} at w={w:g}", inverter=inverter, editor=edit) for name, edit in editors.items()
        ]
    return found


def tried() -> Mapping[str, Callable[[Case], Editor]]:
    """The settings tried, by name: shares of steps without a blend, then thresholds of one with the default shares."""
    shares = {
        f"cross {cross:g}, self {own:g}": always(PromptToPrompt(cross_attention=cross, self_attention=own))
        for cross, own in itertools.product(CROSS, SELF)
    }
    return {**shares, **{f"blend over {over:g}": partial(blended, threshold=over) for over in THRESHOLDS}}


STUDY = Study(
    name="settings",
    title="Edits of {images} held-out scenes",
    candidates=candidates,
    cases=partial(scenes, count=8, first=TUNED, exact=True),
    columns=("success", "outside_truth", "psnr_truth", "ssim_truth"),
    edits_at_once=16,
    groups={"local": LOCAL},
    overview=((ALL, "success"), ("local", "outside_truth"), ("local", "psnr_truth"), (ALL, "psnr_truth")),
)
