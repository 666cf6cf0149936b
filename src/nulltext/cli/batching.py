"""The options of `nulltext batch`, in groups."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a manifest leaves open."""

    prompt: Annotated[
        str, typer.Option(metavar="PROMPT", help="Of rows that have none.", rich_help_panel="Manifest")
    ] = ""
    edit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROMPT",
            help="A new prompt, of rows that have none; may be given several times.",
            rich_help_panel="Manifest",
        ),
    ] = None
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="For a folder: a .csv, .jsonl or .parquet file with columns image (a name in the folder), prompt and "
            "edit.",
            rich_help_panel="Manifest",
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column that is no setting; may be given several times.",
            rich_help_panel="Manifest",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What edited images are like."""

    format: Annotated[
        Literal["png", "jpeg", "webp"], typer.Option(help="Of the edited images.", rich_help_panel="Output")
    ] = "png"
    name: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="What images are called: {id}, {stem}, {number} and {edit}, with slashes for folders.",
            rich_help_panel="Output",
        ),
    ] = "{id}"
    inversions: Annotated[
        bool, typer.Option("--inversions", help="Keep the inversions as well.", rich_help_panel="Output")
    ] = False
    gps: Annotated[
        bool,
        typer.Option("--gps", help="Keep the place that a camera wrote into a photograph.", rich_help_panel="Output"),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a batch is computed."""

    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.", rich_help_panel="Machines")
    ] = "local"
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE,DEVICE",
            help="Of this machine, a process each: cuda:0,cuda:1, or all; a GPU, if there is one, if not given.",
            rich_help_panel="Machines",
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Ray cluster; one is started here if not given.",
                     rich_help_panel="Machines"),
    ] = None  # fmt: skip
    actors: Annotated[
        str | None,
        typer.Option(metavar="N|N-M", help="Processes of Ray that hold a model.", rich_help_panel="Machines"),
    ] = None
    gpus: Annotated[
        float | None,
        typer.Option(min=0, help="What of a GPU each of them takes; one, where there are any.",
                     rich_help_panel="Machines"),
    ] = None  # fmt: skip
    at_once: Annotated[
        int | None,
        typer.Option(min=1, help="Images that share a batch of the network; what the device takes if not given.",
                     rich_help_panel="Machines"),
    ] = None  # fmt: skip
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Part I of N alone, from 1/N to N/N.", rich_help_panel="Machines")
    ] = "1/1"
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Tell Prometheus the counts there.", rich_help_panel="Machines"),
    ] = None
