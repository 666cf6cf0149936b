"""PIE-Bench, by its published protocol: Prompt-to-Prompt from DDIM, direct and null-text inversion."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case, CaseSet, Entry
from nulltext.bench.cases import pie
from nulltext.bench.study import Setting, Study
from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import SettingError
from nulltext.inversion.methods.ddim import DDIM
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.base import Model

STEPS, GUIDANCE = 50, 7.5
"""Of the protocol."""


def cases(_: Model, setting: Setting) -> CaseSet:
    """The set in the folder `data`.

    Raises:
        SettingError: `data` is not given.
        CaseError: The set cannot be used.
    """
    folder = setting.data or setting.own.get("data")
    if folder is None:
        raise SettingError("got no data; expected the folder of PIE-Bench. Fetch it from its authors and name it.")
    found = pie.read_pie(folder, lenient=bool(setting.own.get("lenient")))
    entries = spread(found.entries, setting.limit)
    good = [entry for entry in entries if isinstance(entry, Case)]
    whole = f"{sum(map(pie.is_whole, good))} masks of {len(good)} are whole images: not counted outside."
    return CaseSet(entries, (whole, *found.remarks))


def published_inverter() -> NullText:
    """Null-text inversion as it is run there."""
    return NullText(steps=STEPS, inner_steps=10, guidance=GUIDANCE)


def published_direct() -> DirectInversion:
    """Direct inversion as it is run there, which the set was made for: from the pivot of plain DDIM inversion."""
    return DirectInversion(steps=STEPS, guidance=GUIDANCE, fixed_point=None)


def published_editor(case: Case) -> PromptToPrompt:
    """Prompt-to-Prompt by ``run_editing_p2p.py``: what is blended by in the target is weighted as well."""
    source, target = case.blend or ((), ())
    return PromptToPrompt(
        kind="refine",
        cross_attention=0.4,
        self_attention=0.6,
        blend=Blend(source, target, threshold=0.3, start=0.2, pixels=False) if case.blend else None,
        reweight=dict.fromkeys(target, 2.0),
    )


def candidates(model: Model, setting: Setting) -> Sequence[Candidate]:
    """Prompt-to-Prompt from DDIM, direct and null-text inversion."""
    w, steps = setting.weight(model), setting.steps
    direct = replace(published_direct(), steps=steps, guidance=w)
    null_text = replace(published_inverter(), steps=steps, inner_steps=setting.inner_steps, guidance=w)
    return (
        Candidate(name="DDIM inversion + P2P", inverter=always(DDIM(steps=steps)), editor=partial(_guided, guidance=w)),
        Candidate(name="direct inversion + P2P", inverter=always(direct), editor=published_editor),
        Candidate(name="null-text + P2P", inverter=always(null_text), editor=published_editor),
    )


def spread(entries: Sequence[Entry], limit: int | None) -> list[Entry]:
    """At most so many entries: the first of every kind, then the second of every kind, and so on."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int]] = []
    for index, entry in enumerate(entries):
        turns.append((seen[entry.kind] if limit is not None else 0, index))
        seen[entry.kind] += 1
    return [entries[index] for _, index in sorted(turns)[:limit]]


def _guided(case: Case, *, guidance: float) -> PromptToPrompt:
    return replace(published_editor(case), guidance=guidance)


STUDY = Study(
    name="pie",
    title="PIE-Bench",
    candidates=candidates,
    cases=cases,
    columns=("structure_distance", "psnr", "lpips", "mse", "ssim", "clip_whole", "clip_edited", "seconds"),
)
