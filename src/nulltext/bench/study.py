"""A study as a value: which cases, which methods, which figures; and the one way to run it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from nulltext.bench.candidate import Candidate
from nulltext.bench.case import CaseSet
from nulltext.bench.cases.folder import read_folder
from nulltext.bench.cases.scenes import EDITED, kinds_in_turn, scene_cases
from nulltext.bench.kept import Row, read_kept, write_kept
from nulltext.bench.keys import about_run, digest
from nulltext.bench.measures import measures_of
from nulltext.bench.report import Report
from nulltext.bench.result import Findings
from nulltext.bench.run import run
from nulltext.bench.summary import ALL
from nulltext.bench.table import METRICS
from nulltext.models.base import Model
from nulltext.models.dino import VIT_B_8
from nulltext.progress import OnProgress, silent


@final
@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a study is run.

    Attributes:
        folder: Where its rows, images and report are kept, and a run that was stopped goes on.
        data: A folder of images with prompts; held-out scenes if None.
        limit: At most so many images.
        steps: T.
        inner_steps: N.
        guidance: The guidance scale w; the model's own if None.
        workers: How many images at a time; more than one needs a model on the CPU.
        at_once: How many inversions of an image share the network's batch.
        clip: The folder of the CLIP that is asked; the embedded one if None.
        own: The options that this study alone has, by name; those that are left out are None.
        on_progress: Called for every image.
        command: The command that was run, if it was one.
    """

    folder: Path
    data: Path | None = None
    limit: int | None = None
    steps: int = 50
    inner_steps: int = 10
    guidance: float | None = None
    workers: int = 1
    at_once: int = 1
    clip: Path | None = None
    own: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on_progress: OnProgress = silent
    command: str = ""

    def weight(self, model: Model) -> float:
        """The guidance scale w."""
        return model.guidance if self.guidance is None else self.guidance

    def count(self, most: int) -> int:
        """How many of so many images."""
        return most if self.limit is None else min(self.limit, most)

    def options(self, model: Model) -> str:
        """What it was run with, in a line; "all images" and the model's own guidance scale resolved."""
        message: dict[str, object] = {
            "data": self.data or "scenes",
            "limit": self.limit or "none",
            "T": self.steps,
            "N": self.inner_steps,
            "w": f"{self.weight(model):g}",
            "workers": self.workers,
            "at once": self.at_once,
            **self.own,
        }
        return ", ".join(f"{name} {'default' if each is None else each}" for name, each in message.items())


def scenes(model: Model, setting: Setting, *, count: int = 32, first: int = EDITED, exact: bool = False) -> CaseSet:
    """The entries of `data`, or held-out scenes with an edit of every kind each.

    Args:
        model: Whose size the images have.
        setting: Of the study.
        count: How many scenes where no limit is given.
        first: The first held-out seed.
        exact: As of `scene_cases`.

    Raises:
        CaseError: `data` cannot be used at all.
    """
    if setting.data is not None:
        return CaseSet(read_folder(setting.data)[: setting.limit])
    return CaseSet(scene_cases(setting.count(count), first=first, size=model.default_size, exact=exact))


def scenes_in_turn(model: Model, setting: Setting) -> CaseSet:
    """What most studies run on: the entries of `data`, or held-out scenes with one edit each, the kinds in turn."""
    found = scenes(model, setting)
    return found if setting.data is not None else CaseSet(kinds_in_turn(found.entries))


@final
@dataclass(frozen=True, kw_only=True)
class Fact:
    """A figure of no single image, measured once and kept like a row.

    Attributes:
        text: How it is told, with {} in its place.
        measure: What measures it.
    """

    text: str
    measure: Callable[[Model, Setting], float]


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """What is measured of which methods.

    Attributes:
        name: Its row in `STUDIES`.
        title: Of its report; {w}, {T}, {N} and {images} are filled in.
        candidates: The methods.
        columns: The figures in its tables: rows of `METRICS`.
        measured: More figures, which its rows have.
        cases: What it runs on.
        edits_at_once: How many edits of an image, of all methods, share a batch; then each is said to cost its share.
        groups: Kinds of cases that are counted together, by a name for them.
        overview: The table that is printed, column by column, where it is not all columns over all kinds: the kind or
            group, and the figure.
        every_kind: Whether what is printed has every kind by itself.
        findings: What it finds in its rows beside the means.
        plots: More plots than the means', by name, as SVG elements.
        remarks: What a reader of the tables has to know.
        facts: Figures beside the tables, by their key in the JSON.
    """

    name: str
    title: str
    candidates: Callable[[Model, Setting], Sequence[Candidate]]
    columns: Sequence[str]
    measured: Sequence[str] = ()
    cases: Callable[[Model, Setting], CaseSet] = scenes_in_turn
    edits_at_once: int = 1
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    overview: Sequence[tuple[str, str]] = ()
    every_kind: bool = False
    findings: Callable[[Setting, Sequence[Row]], Findings] | None = None
    plots: Callable[[Setting, Sequence[Row]], Mapping[str, str]] | None = None
    remarks: Sequence[str] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])

    def __call__(self, model: Model, setting: Setting) -> Report:
        """Runs it, or goes on with it, and writes its report into the folder.

        Raises:
            CaseError: Nothing could be measured; says why for the first case.
            SettingError: A setting is out of range, or a library that writes or measures is not installed.
            OutputWriteError: The folder cannot be written to.
        """
        found = self.cases(model, setting)
        rows = run(
            model,
            found.entries,
            self.candidates(model, setting),
            measures_of((*self.columns, *self.measured), clip=setting.clip, dino=setting.own.get("dino") or VIT_B_8),
            setting.folder,
            workers=setting.workers,
            at_once=setting.at_once,
            edits_at_once=self.edits_at_once,
            on_progress=setting.on_progress,
        )
        facts = {name: self._fact(name, model, setting) for name in self.facts}
        images = len({row["sha256"] for row in rows if row["sha256"]})
        message = {"w": f"{setting.weight(model):g}", "T": setting.steps, "N": setting.inner_steps, "images": images}
        report = Report(
            title=self.title.format(**message),
            command=setting.command or f"nulltext bench {self.name}",
            columns=[METRICS[name] for name in self.columns],
            rows=rows,
            findings=Findings() if self.findings is None else self.findings(setting, rows),
            plots={} if self.plots is None else self.plots(setting, rows),
            remarks=(*self.remarks, *found.remarks, *(self.facts[name].text.format(facts[name]) for name in facts)),
            options=setting.options(model),
            groups=self.groups,
            overview=self.overview or [(ALL, name) for name in self.columns],
            every_kind=self.every_kind,
            facts=facts,
        )
        report.write(setting.folder)
        return report

    def _fact(self, name: str, model: Model, setting: Setting) -> float:
        """A fact, from the folder if it is kept there."""
        key = digest([about_run(model, {}), name, setting.steps, setting.inner_steps, setting.weight(model)])
        path = setting.folder / "rows" / f"{name}-{key[:16]}.json"
        if (kept := read_kept(path, key)) is None:
            measured: Row = {name: self.facts[name].measure(model, setting)}
            kept = [measured]
            write_kept(path, key, kept)
        return float(kept[0][name] or 0)
