"""`nulltext bench`: the README's figures, measured afresh."""

from dataclasses import asdict
from typing import Annotated

import typer

from nulltext.cli import options, terminal
from nulltext.cli.command import Command

app = typer.Typer(help="Measure the figures of the README afresh.", no_args_is_help=True)

Limit = Annotated[int | None, typer.Option(min=1, help="At most so many pictures of each kind; quick, but rough.")]


@app.command("reconstruction", cls=Command)
def reconstruction(
    limit: Limit = None,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: Annotated[float, typer.Option(help="The weight w of classifier-free guidance.")] = 7.5,
    model: options.ModelName = "scenes",
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure how well pictures the model was not trained on are reconstructed at full guidance."""
    from nulltext import load
    from nulltext.bench.reconstruction import measure_reconstruction

    with terminal.loading(model):
        loaded = load(model, device=device, dtype=dtype)
    with terminal.progress() as on_progress:
        figures = measure_reconstruction(
            loaded, limit=limit, steps=steps, inner_steps=inner_steps, guidance=guidance, on_progress=on_progress
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
