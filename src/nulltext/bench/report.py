"""A run told to a reader: one table in Markdown, and one HTML file with tables to sort, plots and images."""

import base64
import html
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, final

from PIL import Image

from nulltext.bench.extras import extra
from nulltext.bench.kept import MEASURED, SAMPLES, Row, read_sample, samples_of
from nulltext.bench.keys import LIBRARIES
from nulltext.bench.result import Findings, Result, Sheet
from nulltext.bench.summary import ALL, Summary, Table, by_kind
from nulltext.bench.table import Metric
from nulltext.files import write_file
from nulltext.showing import brief, html_table

LEGEND = "Mean ± standard deviation [95 % interval of the mean, bootstrap over images]; n: edits counted"
_XML = '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n'


@final
@dataclass(frozen=True, kw_only=True)
class Report(Result):
    """What a run found.

    Attributes:
        title: What was measured.
        command: The command that measures it again.
        columns: The figures shown.
        rows: The rows of the run.
        findings: What is found in the rows beside the means.
        plots: More plots than the means', by name, as SVG elements.
        remarks: What a reader of the tables has to know.
        options: What it was run with, in a line.
        groups, overview, every_kind: As of a `nulltext.bench.study.Study`; by default all columns over all kinds.
        facts: Figures beside the tables.
    """

    title: str
    command: str
    columns: Sequence[Metric]
    rows: Sequence[Row]
    findings: Findings = field(default_factory=Findings)
    plots: Mapping[str, str] = field(default_factory=dict[str, str])
    remarks: Sequence[str] = ()
    options: str = ""
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    overview: Sequence[tuple[str, str]] = ()
    every_kind: bool = False
    facts: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def measured(self) -> list[Row]:
        """The rows of what could be measured."""
        return [row for row in self.rows if row["status"] == MEASURED]

    def failures(self) -> dict[str, str]:
        """The entries that have a row without figures, and why; of several methods' reasons the first."""
        reasons: dict[str, str] = {}
        for row in self.rows:
            if row["status"] != MEASURED:
                reasons.setdefault(str(row["case"]), str(row["reason"]))
        return reasons

    def failed(self) -> str:
        """How many could not be measured, in a line; "" where all could."""
        failed, edits = self.failures(), len({row["case"] for row in self.rows})
        rows = len(self.rows) - len(self.measured)
        return (
            f"{len(failed)} of {edits} edits could not be measured by every method ({rows} rows failed)"
            if failed
            else ""
        )

    __repr__ = brief

    def _repr_html_(self) -> str:
        """The tables, what is found beside the means, and the plots, in a notebook."""
        headings = ["", "method", *(column.heading for column in self.columns)]
        tables = self.tables().items()
        rows = [[kind, method, *self._cells(table[method])] for kind, table in tables for method in table]
        found = [
            f"<h4>{html.escape(sheet.title)}</h4>{html_table(sheet.rows, headings=sheet.headings)}"
            for sheet in self.findings.sheets
        ]
        return "\n".join([html_table(rows, headings=headings), *found, *self.plots.values()])

    def _cells(self, figures: Mapping[str, Summary], *, interval: bool = True) -> list[str]:
        """A method's figures, column by column."""
        return [cell(figures[column.name], column, interval=interval) for column in self.columns]

    def tables(self) -> dict[str, Table]:
        """The summaries, overall and by kind of edit."""
        return by_kind(self.rows, [column.name for column in self.columns], self.groups)

    def record(self) -> dict[str, Any]:
        """The same numbers for JSON: by kind, method and column."""
        return {
            "command": self.command,
            "options": self.options,
            "asked": self.asked(),
            "images": len({row["sha256"] for row in self.measured}),
            "edits": len({row["case"] for row in self.measured}),
            "failed": self.failures(),
            "tables": {
                kind: {
                    method: {name: asdict(summary) for name, summary in columns.items()}
                    for method, columns in table.items()
                }
                for kind, table in self.tables().items()
            },
            "missing": self.missing(),
            "remarks": list(self.remarks),
            **self.facts,
            **self.findings.figures,
        }

    def shown(self) -> Iterator[Sheet | str]:
        """What is printed: one table, and what has to be known of it."""
        yield self._every_kind() if self.every_kind else self._overview()
        yield from self.findings.sheets
        missing = self.missing()
        yield from self.remarks
        yield from (
            f"{each.name} is missing: {' '.join(missing[each.name])}" for each in self.columns if each.name in missing
        )
        yield f"{self.about()}\nasked: {self.asked()}"

    def _overview(self) -> Sheet:
        tables, metrics = self.tables(), {column.name: column for column in self.columns}
        columns = [(kind, metrics[name]) for kind, name in self.overview or [(ALL, name) for name in metrics]]
        columns = [(kind, metric) for kind, metric in columns if kind in tables]
        rows = [
            [method, *(cell(tables[kind][method][metric.name], metric, interval=False) for kind, metric in columns)]
            for method in tables[ALL]
        ]
        rows.append(["n", *(counted(tables[kind], metric) for kind, metric in columns)])
        headings = [metric.title if kind == ALL else f"{metric.title}, {kind}" for kind, metric in columns]
        return Sheet(title=self.title, headings=["", *headings], rows=rows)

    def _every_kind(self) -> Sheet:
        tables = self.tables()
        rows = [
            [method if kind == ALL else "", kind, *self._cells(table[method], interval=False)]
            for method in tables[ALL]
            for kind, table in tables.items()
            if method in table
        ]
        headings = ["", "", *(column.title for column in self.columns)]
        return Sheet(title=self.title, headings=headings, rows=rows, names=2)

    def complaint(self) -> str:
        """What could not be measured, and why; "" where all could."""
        reasons = "\n".join(f"- {case}: {reason}" for case, reason in self.failures().items())
        return f"{self.failed()}:\n{reasons}" if reasons else ""

    def missing(self) -> dict[str, list[str]]:
        """What could not be measured for some row, and why: the reasons by column."""
        reasons: dict[str, set[str]] = {}
        for row in self.rows:
            for name, reason in json.loads(str(row["missing"])).items():
                reasons.setdefault(name, set()).add(reason)
        return {name: sorted(each) for name, each in sorted(reasons.items())}

    def asked(self) -> str:
        """Which networks the figures are of, by the digests of their weights."""
        return str(self.rows[0]["instruments"] or "none")

    def about(self) -> str:
        """On what it was measured, in a line."""
        one = self.rows[0]
        made = ", ".join(f"{library} {one[library]}" for library in LIBRARIES)
        return (
            f"{len({row['sha256'] for row in self.measured})} images, "
            f"{len({row['case'] for row in self.measured})} edits; {one['model']} ({str(one['revision'])[:19]}) in "
            f"{one['dtype']} on {one['device']}; nulltext {one['nulltext']}, {made}"
        )

    def markdown(self) -> str:
        """The report in Markdown: mean ± standard deviation, and the 95 % interval of the mean."""
        lines = [f"# {self.title}", "", f"    {self.command}", "", f"{self.about()}.", "", *self._facts(), ""]
        for kind, table in self.tables().items():
            lines += [f"## {kind}", "", "| method | " + " | ".join(column.heading for column in self.columns) + " |"]
            lines.append("|---|" + "---:|" * len(self.columns))
            for method, figures in table.items():
                lines.append(f"| {method} | {' | '.join(self._cells(figures))} |")
            lines.append("| n | " + " | ".join(counted(table, column) for column in self.columns) + " |")
            lines.append("")
        lines += [f"{LEGEND}.", ""]
        for sheet in self.findings.sheets:
            lines += [f"## {sheet.title}", "", f"| {' | '.join(sheet.headings)} |"]
            lines.append("|---" * sheet.names + "|---:" * (len(sheet.headings) - sheet.names) + "|")
            lines += [*(f"| {' | '.join(cells)} |" for cells in sheet.rows), ""]
        lines += [f"- {remark}" for remark in self.remarks]
        lines += [f"- {name} is missing: {' '.join(reasons)}" for name, reasons in self.missing().items()]
        lines += [f"- {case}: {reason}" for case, reason in self.failures().items()]
        return "\n".join(lines).rstrip() + "\n"

    def _facts(self) -> list[str]:
        """What a figure depends on beside the model: one fact a line."""
        facts = [f"- run with: {self.options}"] if self.options else []
        facts.append(f"- asked: {self.asked()}")
        return [*facts, *([f"- {self.failed()}"] if self.failures() else [])]

    def html(self, folder: Path) -> str:
        """The report as one HTML file that needs nothing beside it.

        Args:
            folder: That of the run, whose sample images it shows.
        """
        jinja2 = extra("jinja2")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        template = environment.from_string(resources.files("nulltext.bench").joinpath("report.html").read_text("utf-8"))
        tables = self.tables()
        methods = list(next(iter(tables.values())))
        return template.render(
            report=self,
            tables={
                kind: {
                    method: [(figures[column.name], cell(figures[column.name], column)) for column in self.columns]
                    for method, figures in table.items()
                }
                for kind, table in tables.items()
            },
            headings=[column.heading for column in self.columns],
            counts={kind: [counted(table, column) for column in self.columns] for kind, table in tables.items()},
            legend=LEGEND,
            plots=[*self.plots.values(), *(plot_means(next(iter(tables.values())), column) for column in self.columns)],
            samples=_samples(folder / SAMPLES, self.measured, methods),
            methods=methods,
        )

    def write(self, folder: Path) -> None:
        """Writes ``report.md``, ``report.html`` and the plots into the folder of the run.

        Raises:
            OutputWriteError: The system refused.
        """
        write_file(folder / "report.md", self.markdown().encode(), overwrite=True)
        write_file(folder / "report.html", self.html(folder).encode(), overwrite=True)
        for name, svg in self.plots.items():
            write_file(folder / f"{name}.svg", (_XML + svg).encode(), overwrite=True)


def cell(summary: Summary, column: Metric, *, interval: bool = True) -> str:
    """A summary as a table shows it: mean ± deviation [interval]; "missing" where nothing could be measured."""
    if not summary.count:
        return "missing"
    share = column.unit == "%"
    figures = (summary.mean, summary.std, summary.low, summary.high)
    mean, std, low, high = (f"{(100 if share else 1) * x:.{column.digits}f}" for x in figures)
    middle = f"{mean} %" if share else f"{mean} ± {std}"  # of a share the deviation says nothing more
    return middle + (f" [{low}, {high}]" if interval and math.isfinite(summary.low) else "")


def counted(table: Table, column: Metric) -> str:
    """Over how many edits the means of a column are, as a table shows it: one number, or from how many to how many."""
    numbers = sorted({figures[column.name].count for figures in table.values()})
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def plot_means(table: Table, column: Metric) -> str:
    """The means of a column with their intervals, as an SVG element."""
    figure = extra("matplotlib.figure").Figure(figsize=(5, 0.6 + 0.35 * len(table)), layout="constrained")
    axes = figure.subplots()
    for line, figures in enumerate(table.values()):
        summary = figures[column.name]
        if summary.count:
            margins = [[max(summary.mean - summary.low, 0)], [max(summary.high - summary.mean, 0)]]
            axes.errorbar(summary.mean, line, xerr=margins if math.isfinite(summary.low) else None, fmt="o", capsize=3)
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    axes.set_xlabel(column.heading)
    axes.grid(axis="x", alpha=0.3)
    return svg(figure)


def svg(figure: Any) -> str:  # noqa: ANN401  matplotlib is loaded late
    """A figure of matplotlib as an SVG element, the same for the same figure."""
    svg = io.StringIO()
    with extra("matplotlib").rc_context({"svg.hashsalt": "nulltext"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    text = svg.getvalue()
    return text[text.index("<svg") :]


def _samples(folder: Path, rows: Sequence[Row], methods: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """For each case shown: its source prompt, its new one, and its images as data URLs, the source first."""
    cases: dict[str, dict[str, Row]] = {}
    for row in rows:
        cases.setdefault(str(row["case"]), {})[str(row["method"])] = row
    shown: list[tuple[str, str, list[str]]] = []
    for made in cases.values():
        if set(made) != set(methods):
            continue
        one, *_ = both = [samples_of(folder, made[method]) for method in methods]
        images = [read_sample(*one[0]), *(read_sample(*svg) for _, svg in both)]
        whole = [image for image in images if image is not None]
        if len(whole) == len(images):
            row = made[methods[0]]
            shown.append((str(row["source"]), str(row["target"]), [_data_url(image) for image in whole]))
    return shown


def _data_url(image: Image.Image) -> str:
    data = io.BytesIO()
    image.convert("RGB").save(data, format="JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
