"""Which of the app's settings suit each kind of edit: composition, layout, and whether the rest is kept as it is.

For each kind a winner is chosen among the settings that keep as much as what the model recommends: the one that
succeeds most often, and of those the one that keeps most. What is kept is the background, where an edit has one, else
the nearness to the true edit.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case, CaseSet
from nulltext.bench.cases.scenes import scene_cases
from nulltext.bench.kept import Row
from nulltext.bench.report import cell
from nulltext.bench.result import Findings, Sheet
from nulltext.bench.study import Setting, Study
from nulltext.bench.summary import by_kind
from nulltext.bench.table import METRICS
from nulltext.editing.agreement import content_words
from nulltext.editing.blend import Blend
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.models.base import Model

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "colour": ("color",),
    "material": ("pattern", "finish"),
    "thing": ("shape",),
    "place": ("ground",),
    "weather": ("time",),
    "style": ("style",),
}
"""The presets, and the words of a scene that each is for."""
KEPT: Final[Mapping[str, str]] = dict.fromkeys(KINDS, "psnr_truth") | dict.fromkeys(
    ("colour", "material", "thing"), "psnr_outside"
)
"""By which figure settings are held to keep as much: a change of the whole image has no background."""
LESS: Final = 0.2
"""Decibels that count as nothing."""
CROSS: Final = (0.4, 0.8)
SELF: Final = (0.2, 0.4, 0.6, 0.8)
FIRST: Final = 45_000
"""The first held-out seed, apart from those of the other measurements."""


@final
@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of the app's editor; None is what the model recommends.

    Attributes:
        cross: How much of the composition to keep, 0 to 1.
        self_share: How much of the layout, 0 to 1.
        local: Whether the image may change only where the changed words look.
    """

    cross: float | None
    self_share: float | None
    local: bool

    @property
    def name(self) -> str:
        """What its rows are called."""
        shares = "recommended" if self.cross is None else f"composition {self.cross:g}, layout {self.self_share or 0:g}"
        return f"{shares}, {'local' if self.local else 'everywhere'}"

    def editor(self, case: Case) -> PromptToPrompt:
        """The editor for a case, as the app makes it: local means where the words look that differ."""
        old, new = (content_words(prompt) for prompt in (case.source, case.target))
        gone, added = ([word for word in own if word not in other] for own, other in ((old, new), (new, old)))
        blend = Blend(gone, added) if self.local else None
        return PromptToPrompt(cross_attention=self.cross, self_attention=self.self_share, blend=blend)


PRESETS: Final = tuple(
    Preset(cross=cross, self_share=own, local=local)
    for local in (False, True)
    for cross, own in ((None, None), *itertools.product(CROSS, SELF))
)
"""What is tried; what the model recommends stands first."""


def candidates(_: Model, setting: Setting) -> Sequence[Candidate]:
    """All presets, on the inversion that the app takes."""
    inverter = always(DirectInversion(steps=setting.steps))
    return [Candidate(name=each.name, inverter=inverter, editor=each.editor) for each in PRESETS]


def cases(model: Model, setting: Setting) -> CaseSet:
    """Held-out scenes with an edit of every kind."""
    return CaseSet(
        scene_cases(setting.count(16), first=FIRST, size=model.default_size, exact=True, kinds=KINDS),
    )


def winners(rows: Sequence[Row]) -> dict[str, Preset]:
    """The preset of each kind."""
    tables, found = by_kind(rows, ("success", "psnr_outside", "psnr_truth")), dict[str, Preset]()
    for kind, kept in KEPT.items():
        table = tables.get(kind, {})
        usable = [each for each in PRESETS if each.name in table and table[each.name][kept].count]
        if not usable:
            continue
        least = table[usable[0].name][kept].mean - LESS
        worth = {each: (table[each.name]["success"].mean, round(table[each.name][kept].mean, 1)) for each in usable}
        # Of equals the first: what the model recommends.
        found[kind] = max((each for each in usable if worth[each][1] >= least), key=lambda each: worth[each])
    return found


def findings(_: Setting, rows: Sequence[Row]) -> Findings:
    """The winners, beside what the model recommends."""
    chosen, tables = winners(rows), by_kind(rows, ("success", "psnr_outside", "psnr_truth"))
    told = [
        [
            kind,
            preset.name,
            *(
                cell(tables[kind][name][column], METRICS[column], interval=False)
                for column in ("success", KEPT[kind])
                for name in (preset.name, PRESETS[0].name)
            ),
        ]
        for kind, preset in chosen.items()
    ]
    headings = ["", "settings", "success", "success as recommended", "kept, dB", "kept as recommended, dB"]
    sheet = Sheet(title="Most success where as much is kept", headings=headings, rows=told, names=2)
    figures = {kind: vars(preset) for kind, preset in chosen.items()}
    return Findings(figures={"presets": figures}, sheets=[sheet])


STUDY = Study(
    name="presets",
    title="Settings of the app's editor on {images} held-out scenes",
    candidates=candidates,
    cases=cases,
    columns=("success", "psnr_outside", "psnr_truth"),
    edits_at_once=16,
    findings=findings,
    remarks=(f"{LESS:g} dB less than as recommended counts as as much.",),
)
