"""`nulltext bench`: the README's figures, measured afresh."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nulltext.cli import options, terminal
from nulltext.cli.command import Command

if TYPE_CHECKING:
    from rich.table import Table

    from nulltext.bench.model import ModelFigures

app = typer.Typer(help="Measure the figures of the README afresh.", no_args_is_help=True)

Workers = Annotated[
    int, typer.Option(min=1, help="How many pictures at a time, in processes that share out the cores; CPU only.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many pictures of each kind; quick, but rough.")]


@app.command("reconstruction", cls=Command)
def reconstruction(
    limit: Limit = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: options.Guidance = 7.5,
    workers: Workers = 1,
    model: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure how well pictures the model was not trained on are reconstructed at full guidance."""
    from nulltext import load
    from nulltext.bench.reconstruction import measure_reconstruction

    with terminal.loading(model):
        loaded = load(model, config=config, device=device, dtype=dtype)
    with terminal.progress() as on_progress:
        figures = measure_reconstruction(
            loaded,
            limit=limit,
            steps=steps,
            inner_steps=inner_steps,
            guidance=guidance,
            workers=workers,
            on_progress=on_progress,
        )
    if json:
        terminal.print_json(asdict(figures))
        return

    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=f"Reconstruction at w={guidance:g}, T={steps}, N={inner_steps}", title_justify="left"
    )
    table.add_column("")
    table.add_column("PSNR, dB", justify="right")
    table.add_column("below the bound, dB", justify="right")
    table.add_row(f"{figures.pictures} scenes: autoencoder alone", f"{figures.vae_bound_db:.2f}", "")
    table.add_row("null-text inversion", f"{figures.nulltext_db:.2f}", f"{figures.nulltext_gap_db:.2f}")
    table.add_row("plain DDIM inversion", f"{figures.ddim_guided_db:.2f}", f"{figures.ddim_gap_db:.2f}")
    table.add_row(f"{figures.photos} photographs: null-text inversion", "", f"{figures.photo_gap_db:.2f}")
    terminal.show(table)
    terminal.show(f"one inversion without early stop: {figures.invert_seconds:.1f} s on {loaded.device}")


@app.command("edits", cls=Command)
def edits(
    limit: Limit = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: options.ModelGuidance = None,
    workers: Workers = 1,
    model: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure edits whose right answer is known, since the new picture can be rendered as well."""
    from nulltext import load
    from nulltext.bench.edits import measure_edits

    with terminal.loading(model):
        loaded = load(model, config=config, device=device, dtype=dtype)
    with terminal.progress() as on_progress:
        figures = measure_edits(
            loaded,
            limit=limit,
            steps=steps,
            inner_steps=inner_steps,
            guidance=guidance,
            workers=workers,
            on_progress=on_progress,
        )
    if json:
        terminal.print_json(asdict(figures))
        return

    from rich import box
    from rich.table import Table

    title = f"Edits of {figures.pictures} held-out scenes at w={figures.guidance:g}, against what they should become"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for heading in ("", "", "success", "outside, dB", "truth, dB", "truth, SSIM"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, kinds in figures.methods.items():
        for kind, each in kinds.items():
            half = each.outside_db.high - each.outside_db.mean
            table.add_row(
                name if kind == "overall" else "",
                kind,
                f"{each.success.mean:.0%}",
                f"{each.outside_db.mean:.2f} ± {half:.2f}",
                f"{each.truth_db.mean:.2f}",
                f"{each.truth_ssim.mean:.3f}",
                end_section=kind == "time",
            )
    terminal.show(table)
    terminal.show(f"four captions in one batch cost {figures.four_edits_cost:.2f} times one")


@app.command("settings", cls=Command)
def settings(
    limit: Limit = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: Annotated[
        list[float] | None, typer.Option(help="A weight w to try, again for each; 2.5, 4 and 7.5 if not given.")
    ] = None,
    workers: Workers = 1,
    model: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Sweep the settings of edits and the guidance, on other scenes than `bench edits`, to choose defaults by."""
    from nulltext import load
    from nulltext.bench.settings import GUIDANCE, sweep_settings

    with terminal.loading(model):
        loaded = load(model, config=config, device=device, dtype=dtype)
    with terminal.progress() as on_progress:
        swept = sweep_settings(
            loaded,
            guidance=guidance or GUIDANCE,
            limit=limit,
            steps=steps,
            inner_steps=inner_steps,
            workers=workers,
            on_progress=on_progress,
        )
    if json:
        terminal.print_json({"sweeps": [asdict(figures) for figures in swept]})
        return

    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"Edits of {swept[0].pictures} held-out scenes", title_justify="left")
    for heading in ("w", "", "success", "outside, things, dB", "truth, things, dB", "truth, all, dB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figures in swept:
        for name, kinds in figures.methods.items():
            local, overall = kinds["local"], kinds["overall"]
            table.add_row(
                f"{figures.guidance:g}",
                name,
                f"{overall.success.mean:.0%}",
                f"{local.outside_db.mean:.2f}",
                f"{local.truth_db.mean:.2f}",
                f"{overall.truth_db.mean:.2f}",
                end_section=name == list(figures.methods)[-1],
            )
    terminal.show(table)


@app.command("model", cls=Command)
def model(
    limit: Limit = None,
    steps: options.Steps = 50,
    guidance: options.Guidance = 7.5,
    name: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure the embedded model itself: autoencoder, CLIP, judges, generated pictures, speed."""
    from nulltext import load
    from nulltext.bench.model import measure_model

    with terminal.loading(name):
        loaded = load(name, config=config, device=device, dtype=dtype)
    with terminal.progress() as on_progress:
        figures = measure_model(loaded, limit=limit, steps=steps, guidance=guidance, on_progress=on_progress)
    if json:
        terminal.print_json(asdict(figures))
        return
    terminal.show(model_table(figures))


def model_table(figures: "ModelFigures") -> "Table":
    """The figures of the embedded model as a table."""
    from rich import box
    from rich.table import Table

    title = f"{figures.pictures} held-out scenes, {figures.generated} generated pictures at w={figures.guidance:g}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    for label, value in (
        ("autoencoder, scenes", f"{figures.vae_psnr_scenes:.2f} dB"),
        ("autoencoder, inside the things", f"{figures.vae_psnr_objects:.2f} dB"),
        ("autoencoder, photographs", f"{figures.vae_psnr_photos:.2f} dB"),
        ("shape, colour and pattern read after a round trip", f"{figures.vae_roundtrip_accuracy:.1%}"),
        ("judges on renders, their worst head", f"{figures.judges_accuracy:.1%}"),
        ("CLIP picks the caption among 64 near misses", f"{figures.clip_near_miss_accuracy:.1%}"),
        ("generated: the right shape", f"{figures.generated_shape_accuracy:.1%}"),
        ("generated: the right colour", f"{figures.generated_color_accuracy:.1%}"),
        ("generated: the right ground", f"{figures.generated_ground_accuracy:.1%}"),
        ("one UNet evaluation", f"{figures.unet_forward_ms:.1f} ms"),
    ):
        table.add_row(label, value)
    return table
