"""`nulltext bench seeds | ablation | guidance | compare | pie`: the paper's claims, measured afresh."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.cli.bench import Limit, Workers, app
from nulltext.cli.command import SOME_FAILED, Command
from nulltext.cli.spelling import spelled

if TYPE_CHECKING:
    from rich.table import Table

    from nulltext.bench.report import Report
    from nulltext.bench.studies import Setting
    from nulltext.models.base import Model

    Study = Callable[[Model, Setting], Report]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Where rows, pictures and report go, nulltext-bench/NAME if not given; a run that was stopped goes on "
        "there.",
        show_default=False,
        rich_help_panel="Output",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Pictures, and their captions in a CSV or JSONL file; scenes if not given."),
]
Pie = Annotated[
    Path, typer.Option("--data", metavar="FOLDER", help="PIE-Bench, or a set in its format.", show_default=False)
]
PieModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A hub id, a folder in diffusers' format, or a checkpoint file; CompVis/stable-diffusion-v1-4 is the "
        "protocol's. The embedded model knows the words of its own scenes alone.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
ClipFolder = Annotated[
    Path | None,
    typer.Option(
        "--clip", metavar="FOLDER", help="The CLIP that is asked, as transformers saves it; the embedded one."
    ),
]
Dino = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The DINO that measures structure; facebook/dino-vitb8 if it is on this machine."
    ),
]


def _study(name: str, function: str, about: str) -> None:
    """Makes a command of a study; all of them have the same options."""

    @app.command(name, cls=Command, help=about)
    def command(  # pyright: ignore[reportUnusedFunction]  typer has it
        context: typer.Context,
        limit: Limit = None,
        data: Data = None,
        steps: options.Steps = 50,
        inner_steps: options.InnerSteps = 10,
        guidance: options.ModelGuidance = None,
        workers: Workers = 1,
        clip: ClipFolder = None,
        output: Output = None,
        model: options.ModelName = "scenes",
        config: options.Config = None,
        device: options.Device = None,
        dtype: options.Dtype = None,
        json: options.Json = False,
        debug: options.Debug = False,
    ) -> None:
        module = import_module(f"nulltext.bench.{function.partition(':')[0]}")
        study: Study = getattr(module, function.partition(":")[2])
        settings = {
            "folder": outputs.folder_path(output or Path("nulltext-bench") / name),
            "data": data,
            "limit": limit,
            "steps": steps,
            "inner_steps": inner_steps,
            "guidance": guidance,
            "workers": workers,
        }
        _show(context, study, settings, clip, json=json, model=(model, config, device, dtype))


_study(
    "seeds",
    "seeds:compare_seeds",
    "Pictures generated, edited from DDIM inversion, and from null-text inversion, side by side.",
)
_study("guidance", "guidance:compare_guidance", "Guidance in inversion and in sampling: the table of two by two.")
_study("methods", "methods:compare_inverters", "Methods of inversion: reconstruction, edits and evaluations of each.")


@app.command("compare", cls=Command)
def compare(
    context: typer.Context,
    limit: Limit = None,
    data: Data = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Of VQGAN+CLIP and Text2LIVE; their own if not given.")
    ] = None,
    guidance: options.ModelGuidance = None,
    workers: Workers = 1,
    clip: ClipFolder = None,
    output: Output = None,
    model: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """SDEdit, VQGAN+CLIP, Text2LIVE, DDIM and null-text inversion: success, what is kept, time."""
    from nulltext.bench.comparison import compare_methods

    settings = {
        "folder": outputs.folder_path(output or Path("nulltext-bench/compare")),
        "data": data,
        "limit": limit,
        "steps": steps,
        "inner_steps": inner_steps,
        "guidance": guidance,
        "workers": workers,
    }
    study = partial(compare_methods, iterations=iterations)
    _show(context, study, settings, clip, json=json, model=(model, config, device, dtype))


@app.command("ablation", cls=Command)
def ablation(
    context: typer.Context,
    limit: Limit = None,
    data: Data = None,
    steps: options.Steps = 50,
    budget: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Iterations at each step, again for each; 1, 5, 10, 15 and 20 if not given."),
    ] = None,
    guidance: options.Guidance = 7.5,
    workers: Workers = 1,
    at_once: Annotated[
        int, typer.Option(min=1, help="How many inversions of a picture share the network's batch.")
    ] = 16,
    output: Output = None,
    model: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Reconstruction by iterations: null-text inversion and what it is without one of its parts."""
    from nulltext.bench.ablation import INNER_STEPS, measure_ablation

    settings = {
        "folder": outputs.folder_path(output or Path("nulltext-bench/ablation")),
        "data": data,
        "limit": limit,
        "steps": steps,
        "guidance": guidance,
        "workers": workers,
        "at_once": at_once,
    }
    study = partial(measure_ablation, inner_steps=tuple(budget or INNER_STEPS))
    _show(context, study, settings, None, json=json, model=(model, config, device, dtype))


@app.command("pie", cls=Command)
def pie(
    context: typer.Context,
    data: Pie,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Take what is amiss in an entry as the set's authors do.")
    ] = False,
    limit: Limit = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: options.Guidance = 7.5,
    workers: Workers = 1,
    clip: ClipFolder = None,
    dino: Dino = None,
    output: Output = None,
    model: PieModel = None,
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """PIE-Bench by its published protocol."""
    from nulltext.bench.pie import refuse_embedded
    from nulltext.bench.pie_study import measure_pie
    from nulltext.models.dino import VIT_B_8
    from nulltext.models.dino import Dino as DinoNetwork
    from nulltext.models.loading import EMBEDDED

    folder = outputs.folder_path(output or Path("nulltext-bench/pie"))
    if model is None:
        refuse_embedded(data)  # before hours, and before anything is loaded
    settings = {
        "folder": folder,
        "data": data,
        "limit": limit,
        "steps": steps,
        "inner_steps": inner_steps,
        "guidance": guidance,
        "workers": workers,
    }
    study = partial(measure_pie, dino=DinoNetwork.load(dino or VIT_B_8), lenient=lenient)
    _show(context, study, settings, clip, json=json, model=(model or EMBEDDED, config, device, dtype))


def _show(
    context: typer.Context,
    study: "Study",
    settings: dict[str, Any],
    clip: Path | None,
    *,
    json: bool,
    model: tuple[str, str | None, str | None, Any],
) -> None:
    """Runs a study, writes its report, and prints its first table."""
    from nulltext import load
    from nulltext.bench.studies import Setting
    from nulltext.models.clip import Clip

    spelling = spelled(context)
    name, config, device, dtype = model
    with terminal.loading(name):
        loaded = load(name, config=config, device=device, dtype=dtype)
    if clip is not None:
        settings = settings | {"clip": Clip.load(clip)}
    with terminal.progress() as on_progress:
        setting = Setting(**settings, spelled=spelling, on_progress=on_progress)
        report = study(loaded, setting)
    report.write(setting.folder)
    if json:
        terminal.print_json(report.record())
    else:
        _tell(report, setting.folder)
    if report.failures():
        reasons = "\n".join(f"- {case}: {reason}" for case, reason in report.failures().items())
        said = terminal.printable(f"{report.failed()}:\n{reasons}", lines=True)
        typer.secho(said, fg=typer.colors.RED, err=True)
        raise typer.Exit(SOME_FAILED)


def _tell(report: "Report", folder: Path) -> None:
    terminal.show(_table(report))
    missing = report.missing()
    shown = [column.name for column in report.columns if column.name in missing]
    for remark in (*report.remarks, *(f"{name} is missing: {' '.join(missing[name])}" for name in shown)):
        terminal.show(remark)
    terminal.show(f"{report.about()}\nasked: {report.asked()}\nreport: {folder / 'report.html'}")


def _table(report: "Report") -> "Table":
    from rich import box
    from rich.table import Table

    from nulltext.bench.report import cell, counted

    table = Table(box=box.SIMPLE_HEAD, title=report.title, title_justify="left")
    table.add_column("")
    for column in report.columns:
        table.add_column(column.label, justify="right")
    (overall, *_) = report.tables().values()
    for method, figures in overall.items():
        table.add_row(method, *(cell(figures[column.name], column, interval=False) for column in report.columns))
    table.add_row("n", *(counted(overall, column) for column in report.columns))
    return table
