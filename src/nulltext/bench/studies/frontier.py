"""Methods compared along their own guidance curves, since at one guidance scale a comparison is a choice of guidance.

Weaker guidance alone keeps more of the image. So every method edits at several scales, and what it keeps, and how near
it comes to the true edit, is compared where the methods succeed equally often: `nulltext.bench.equal_success` says how.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from nulltext.bench.candidate import Candidate
from nulltext.bench.equal_success import LEVELS, Comparison, Difference, compare_all, non_dominated
from nulltext.bench.extras import extra
from nulltext.bench.kept import Row
from nulltext.bench.report import cell, svg
from nulltext.bench.result import Findings, Sheet
from nulltext.bench.spelled import Spelled, read_method
from nulltext.bench.study import Setting, Study, scenes
from nulltext.bench.summary import Table, summarize
from nulltext.bench.table import METRICS
from nulltext.models.base import Model

METHODS: Final = tuple(f"{name}+prompt-to-prompt" for name in ("direct", "null-text", "negative-prompt", "ddim"))
GUIDANCE: Final = (1.0, 1.5, 2.5, 4.0, 5.5, 7.5, 10.0)
FIGURES: Final = ("psnr_outside", "psnr_truth")
"""What is compared at equal success: how much of the background is kept, and how near the true edit is."""
IOU: Final = "mask_iou"

_Points = Mapping[str, tuple[Spelled, float | None]]
"""Every method at every scale, by what its rows are called, methods in the order asked and weaker guidance first."""


def points(asked: Mapping[str, Any], **usual: object) -> _Points:
    """What is tried.

    Args:
        asked: The words of the methods and the guidance scales, under the names of the study's options.
        usual: Settings of the inverters where they are not spelled.

    Raises:
        SettingError: A word is no method, or a scale no finite number.
    """
    methods = [read_method(word, **usual) for word in dict.fromkeys(asked.get("method") or METHODS)]
    guidance = sorted(set(asked.get("guidance") or GUIDANCE))
    return {method.at(w).name: (method, w) for method in methods for w in method.scales(guidance)}


def check(given: Mapping[str, Any]) -> None:
    """Refuses what is no method before anything is loaded.

    Raises:
        SettingError: As of `points`.
    """
    points(given, steps=given["steps"], inner_steps=given["inner_steps"])


def _points(setting: Setting) -> _Points:
    return points(setting.own, steps=setting.steps, inner_steps=setting.inner_steps)


def candidates(_: Model, setting: Setting) -> Sequence[Candidate]:
    """Every method at every scale."""
    return [method.at(w) for method, w in _points(setting).values()]


def findings(setting: Setting, rows: Sequence[Row]) -> Findings:
    """The comparisons at equal success, the points that no other dominates, and how good the masks are."""
    tried = {name: (method.name, w) for name, (method, w) in _points(setting).items()}
    table = summarize(rows, ("success", *FIGURES, IOU))
    compared = compare_all(rows, tried, FIGURES)
    best = {figure: frontier(table, figure) for figure in FIGURES}
    masked = {name: table[name][IOU] for name in tried if table[name][IOU].count}
    sheets = [_sheet_of_pairs(compared)] if compared else []
    sheets.append(
        Sheet(
            title="Not dominated: no other has at least as much success and more of the figure, by the means",
            headings=["", "method", "success", "value"],
            rows=[
                [METRICS[figure].title, name, *(_plain(table, name, column) for column in ("success", figure))]
                for figure, names in best.items()
                for name in names
            ],
            names=2,
        )
    )
    if masked:
        of_masks = [[name, cell(summary, METRICS[IOU])] for name, summary in masked.items()]
        sheets.append(Sheet(title="Masks", headings=["method", METRICS[IOU].title], rows=of_masks))
    figures = {
        "equal_success": [asdict(each) for each in compared],
        "frontier": best,
        "masks": {name: asdict(summary) for name, summary in masked.items()},
    }
    return Findings(figures=figures, sheets=sheets)


def frontier(table: Table, figure: str) -> list[str]:
    """The names of the points that no other dominates in success and a figure, least success first."""
    where = {name: (of["success"].mean, of[figure].mean) for name, of in table.items()}
    where = {name: at for name, at in where.items() if all(map(math.isfinite, at))}
    kept = [name for name, best in zip(where, non_dominated(list(where.values())), strict=True) if best]
    return sorted(kept, key=where.__getitem__)


def _sheet_of_pairs(compared: Sequence[Comparison]) -> Sheet:
    levels = [f"at {100 * level:.0f} % of the range" for level in LEVELS]
    rows: list[list[str]] = []
    for each in compared:
        of_range = f"{100 * each.lowest:.1f} to {100 * each.highest:.1f} %" if each.overall else "none"
        found = [_told(level) for level in each.levels] or [""] * len(LEVELS)
        overall = _told(each.overall) if each.overall else ""
        count = f"{each.edits} of {each.scenes}"
        title = METRICS[each.figure].title
        rows.append([title, each.first, each.second, of_range, *found, overall, each.verdict, count])
    return Sheet(
        title="At equal success: the first method's figure less the second's [95 % interval, bootstrap over scenes]",
        headings=["", "first", "second", "success of both", *levels, "mean", "better", "edits of scenes"],
        rows=rows,
        names=3,
    )


def _told(difference: Difference) -> str:
    interval = f" [{difference.low:+.2f}, {difference.high:+.2f}]" if math.isfinite(difference.low) else ""
    return f"{difference.mean:+.2f}{interval}"


def _plain(table: Table, name: str, column: str) -> str:
    return cell(table[name][column], METRICS[column])


def plot(rows: Sequence[Row], tried: _Points) -> str:
    """Success against what is kept and against the distance to the truth, a line for each method; an SVG element."""
    table = summarize(rows, ("success", *FIGURES))
    figure = extra("matplotlib.figure").Figure(figsize=(11, 4.5), layout="constrained")
    both: Any = figure.subplots(1, len(FIGURES))
    for axes, column in zip(both, FIGURES, strict=True):
        for method in dict.fromkeys(method for method, _ in tried.values()):
            own = {name: w for name, (of, w) in tried.items() if of is method}
            x = [100 * table[name]["success"].mean for name in own]
            y = [table[name][column].mean for name in own]
            axes.plot(x, y, marker="o", ms=4, label=method.name)
            for w, *place in zip(own.values(), x, y, strict=True):
                if w is not None:
                    axes.annotate(f"{w:g}", place, xytext=(3, 3), textcoords="offset points", fontsize="x-small")
        axes.set_xlabel("success, %")
        axes.set_ylabel(METRICS[column].title)
        axes.grid(alpha=0.3)
    figure.legend(*both[0].get_legend_handles_labels(), fontsize="small", loc="outside lower center")
    return svg(figure)


STUDY = Study(
    name="frontier",
    title="Methods along their guidance curves, {images} held-out scenes",
    candidates=candidates,
    cases=partial(scenes, count=32, exact=True),
    columns=("success", *FIGURES, "ssim_truth"),
    measured=(IOU,),
    findings=findings,
    plots=lambda setting, rows: {"frontier": plot(rows, _points(setting))},
    remarks=(
        "At equal success both curves are interpolated to the same success, in every replicate of the bootstrap.",
        "Each interval is one of 95 % by itself, and no difference shown is not that there is none.",
        "At w=1 no null embedding has a part: along DDIM inversion's pivot it is that inversion; others have no point.",
    ),
)
