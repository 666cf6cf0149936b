"""`nulltext bench speed`: seconds, memory, and what of them the arithmetic needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.cli.bench import Limit
from nulltext.cli.command import Command
from nulltext.cli.studies import app
from nulltext.files import check_output, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table

    from nulltext.bench.speed import SpeedFigures


@app.command("speed", cls=Command)
def speed(
    limit: Limit = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is timed, in turn.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that share the network's batch.")] = 8,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: options.Guidance = 7.5,
    early_stop: Annotated[
        bool, typer.Option(help="Whether a step ends where its error is below the published tolerance.")
    ] = True,
    grow: Annotated[bool, typer.Option(help="Whether to measure how cost grows with T, N, side and batch.")] = True,
    model: options.ModelName = "scenes",
    config: options.Config = None,
    random_weights: Annotated[
        Literal["sd15", "sd21", "sdxl"] | None,
        typer.Option(help="A full-size architecture with random weights, in --model's place.", show_default=False),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    low_memory: options.LowMemory = False,
    compiled: options.Compiled = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="An SVG of how cost grows.",
            rich_help_panel="Output",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """The published code, null-text inversion, batches of it, and direct inversion: seconds, memory, PSNR, ratios."""
    if output is not None:
        check_output(outputs.drawing_path(output), overwrite=force)

    from nulltext import load
    from nulltext.bench.speed import measure_speed, plot

    how: dict[str, Any] = {"device": device, "dtype": dtype, "low_memory": low_memory, "compiled": compiled}
    with terminal.loading(random_weights or model):
        if random_weights is None:
            loaded = load(model, config=config, **how)
        else:
            from nulltext.models.random_weights import random_model

            loaded = random_model(random_weights, **how)
    with terminal.progress() as on_progress:
        figures = measure_speed(
            loaded,
            rounds=min(rounds, limit or rounds),
            batch=min(batch, limit or batch),
            steps=steps,
            inner_steps=inner_steps,
            guidance=guidance,
            early_stop=early_stop,
            grow=grow,
            on_progress=on_progress,
        )
    if output is not None and figures.growth:
        write_file(output, plot(figures.growth).encode(), overwrite=force)
    if json:
        terminal.print_json(figures.record())
        return
    terminal.show(_table(figures))
    terminal.show(
        f"{figures.tera_flop:.3g} TFLOP a picture at {figures.product_rate:.3g} TFLOP/s of a product of matrices: "
        f"{100 * figures.floor_share:.0f} % of that rate is reached in batches of {figures.batch}"
    )
    if figures.growth:
        terminal.show(_growth(figures))
    how_run = "compiled" if figures.compiled else "not compiled"
    terminal.show(f"{figures.device}, {figures.dtype.removeprefix('torch.')}, {figures.threads} threads, {how_run}")


@app.command("full-size", cls=Command)
def full_size(
    limit: Limit = None,
    family: Annotated[Literal["sd15", "sd21"], typer.Option(help="Which architecture.")] = "sd15",
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that share the network's batch.")] = 16,
    device: options.Device = None,
    compiled: options.Compiled = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Seconds and memory of full-size architectures with random weights, for a GPU."""
    import torch

    from nulltext.bench.full_size import measure_full_size
    from nulltext.models.loading import choose_device
    from nulltext.models.random_weights import SDXLDenoiser, random_model

    place = choose_device(device)
    with terminal.progress() as on_progress:
        found = measure_full_size(
            lambda dtype: random_model(family, device=place, dtype=dtype, compiled=compiled),
            lambda: SDXLDenoiser(device=place, dtype=torch.bfloat16),
            steps=steps,
            inner_steps=inner_steps,
            batch=min(batch, limit or batch),
            on_progress=on_progress,
        )
    if json:
        terminal.print_json(found)
        return
    for name, value in _flat(found):
        terminal.show(f"{name}: {value}")


def _flat(record: "Mapping[str, Any]", prefix: str = "") -> "Iterator[tuple[str, Any]]":
    """A record within records as one list, its names joined."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{prefix}{name}, ")
        else:
            yield f"{prefix}{name}", value


def _table(figures: "SpeedFigures") -> "Table":
    from statistics import median

    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"A picture at w={figures.guidance:g}", title_justify="left")
    for heading in ("", "seconds", "times faster", "evaluations", "PSNR, dB", "peak, GB"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, way in figures.ways.items():
        ratio = figures.ratios.get(name)
        table.add_row(
            name,
            f"{median(way.seconds):.2f}",
            "" if ratio is None else f"{ratio.ratio:.1f} ({ratio.low:.1f} to {ratio.high:.1f})",
            f"{way.evaluations:.0f}",
            f"{way.psnr:.2f}",
            "" if way.peak_bytes is None else f"{way.peak_bytes / 1e9:.2f}",
        )
    return table


def _growth(figures: "SpeedFigures") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title="How it grows, without early stop", title_justify="left")
    for heading in ("T", "N", "side", "pictures at once", "seconds a picture", "peak, GB"):
        table.add_column(heading, justify="right")
    for one in figures.growth:
        peak = "" if one.peak_bytes is None else f"{one.peak_bytes / 1e9:.2f}"
        table.add_row(str(one.steps), str(one.inner_steps), str(one.side), str(one.batch), f"{one.seconds:.3g}", peak)
    return table
