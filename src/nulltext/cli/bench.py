"""`nulltext bench`: a command for every row of `nulltext.bench.table.STUDIES`, its options read off the row."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nulltext.bench.table import STUDIES, Option, StudyEntry, named
from nulltext.cli import options, outputs, terminal
from nulltext.cli.command import SOME_FAILED, Command, Group
from nulltext.cli.spelling import spelled
from nulltext.files import check_output
from nulltext.models.architectures import Name

if TYPE_CHECKING:
    from nulltext.bench.result import Result, Sheet
    from nulltext.models.base import Model

app = typer.Typer(cls=Group, help="Measure the figures of the README afresh.", no_args_is_help=True)

_Folder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Where rows, images and report go, nulltext-bench/NAME if not given; a run that was stopped goes on "
        "there.",
        show_default=False,
        rich_help_panel="Output",
    ),
]
_Drawing = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="An SVG of how cost grows.", rich_help_panel="Output", show_default=False
    ),
]
_RealModel = Annotated[
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
_Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Images, and their prompts in a CSV or JSONL file; scenes if not given."),
]
_Clip = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The CLIP that is asked, as transformers saves it; the embedded one."),
]
_Limit = Annotated[int | None, typer.Option(min=1, help="At most so many images of each kind; quick, but rough.")]
_Workers = Annotated[
    int, typer.Option(min=1, help="How many images at a time, in processes that share out the cores; CPU only.")
]
_AtOnce = Annotated[int, typer.Option(min=1, help="How many inversions of an image share the network's batch.")]
_RandomWeights = Annotated[
    Name | None,
    typer.Option(help="A full-size architecture with random weights, in --model's place.", show_default=False),
]

_Parameters = tuple[tuple[str, Any, Any], ...]
"""Name, annotation and default of each."""
_HOW: _Parameters = (("config", options.Config, None), ("device", options.Device, None), ("dtype", options.Dtype, None))
_SHARED: Mapping[str, _Parameters] = {
    "limit": (("limit", _Limit, None),),
    "data": (("data", _Data, None),),
    "steps": (("steps", options.Steps, 50),),
    "inner_steps": (("inner_steps", options.InnerSteps, 10),),
    "guidance": (("guidance", options.ModelGuidance, None),),
    "workers": (("workers", _Workers, 1),),
    "at_once": (("at_once", _AtOnce, 1),),
    "clip": (("clip", _Clip, None),),
    "folder": (("output", _Folder, None),),
    "drawing": (("output", _Drawing, None), ("force", options.Force, False)),
    "model": (("model", options.ModelName, "scenes"), *_HOW),
    "real_model": (("model", _RealModel, None), *_HOW),
    "random_weights": (("random_weights", _RandomWeights, None),),
    "device": (("device", options.Device, None),),
    "low_memory": (("low_memory", options.LowMemory, False),),
    "compiled": (("compiled", options.Compiled, False),),
}
"""What several studies can be asked, by the names that their rows use."""
_OF_SETTING = ("data", "limit", "steps", "inner_steps", "guidance", "workers", "at_once", "clip")


def _parameters(entry: StudyEntry) -> list[Parameter]:
    """The parameters of a study's command; those without a default stand first, as Python wants it."""
    found: list[tuple[str, Any, Any]] = []
    for option in entry.options:
        found += [_own(option)] if isinstance(option, Option) else _SHARED[option]
    found += [("json", options.Json, False), ("debug", options.Debug, False)]
    defaults = {name: entry.defaults.get(name, default) for name, _, default in found}
    found = [
        (name, options.Guidance if name == "guidance" and name in entry.defaults else kind, defaults[name])
        for name, kind, _ in found
    ]
    found.sort(key=lambda each: each[2] is not ...)
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, default=Parameter.empty if default is ... else default, annotation=kind)
        for name, kind, default in found
    ]


def _own(option: Option) -> tuple[str, Any, Any]:
    """An option that a study alone has, as typer reads it."""
    spelt = option.spelt or (f"--{option.name.replace('_', '-')}",)
    about = typer.Option(
        *spelt, min=option.least, help=option.help, metavar=option.metavar, show_default=option.default is not ...
    )
    return option.name, Annotated[option.kind, about], option.default


def _command(name: str, entry: StudyEntry) -> Callable[..., None]:
    """The function of a study's command."""

    def command(context: typer.Context, **given: Any) -> None:  # noqa: ANN401  as its row says
        _run(name, entry, context, given)

    parameters = _parameters(entry)
    context = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    signature = Signature([context, *parameters])
    vars(command)["__signature__"] = signature
    command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return command


for _name, _entry in STUDIES.items():
    app.command(_name, cls=Command, help=_entry.summary)(_command(_name, _entry))


def _run(name: str, entry: StudyEntry, context: typer.Context, given: dict[str, Any]) -> None:
    """Checks what was given, loads the model, runs the study, and prints what it found."""
    folder = Path("nulltext-bench") / name
    if "folder" in entry.options:
        folder = outputs.folder_path(given.pop("output") or folder)
    elif given.get("output") is not None:
        check_output(outputs.drawing_path(given["output"]), overwrite=given["force"])
    if entry.check:
        named(entry.check)(given)
    command, json = spelled(context), given.pop("json")

    from nulltext.bench.study import Setting

    del given["debug"]
    model = _load(given) if "model" in given else None
    own = {option.name for option in entry.options if isinstance(option, Option)}
    shared = {key: given.pop(key) for key in _OF_SETTING if key in given and key not in own}
    with terminal.progress() as on_progress:
        setting = Setting(**shared, folder=folder, own=given, on_progress=on_progress, command=command)
        result: Result = named(entry.path)(model, setting)
    if json:
        terminal.print_json(result.record())
    else:
        show(result)
        if "folder" in entry.options:
            terminal.show(f"report: {folder / 'report.html'}")
    if complaint := result.complaint():
        typer.secho(terminal.printable(complaint, lines=True), fg=typer.colors.RED, err=True)
        raise typer.Exit(SOME_FAILED)


def _load(given: dict[str, Any]) -> "Model":
    """The model that was asked for; takes out of what was given what was meant for it."""
    from nulltext import load
    from nulltext.models.loading import EMBEDDED

    name, random = given.pop("model") or EMBEDDED, given.pop("random_weights", None)
    names = ("config", "device", "dtype", "low_memory", "compiled")
    how = {key: given.pop(key) for key in names if key in given}
    with terminal.loading(random or name):
        if random is None:
            return load(name, **how)
        from nulltext.models.random_weights import random_model

        del how["config"]
        return random_model(random, **how)


def show(result: "Result") -> None:
    """Prints what a study found."""
    for each in result.shown():
        terminal.show(each if isinstance(each, str) else _table(each))


def _table(sheet: "Sheet") -> Any:  # noqa: ANN401  rich is loaded late
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=sheet.title, title_justify="left")
    for index, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="left" if index < sheet.names else "right")
    for row in sheet.rows:
        table.add_row(*row)
    return table
