"""`nulltext invert`: a photograph and its caption in, an inversion file out."""

import shlex
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.cli.outputs import undashed
from nulltext.errors import SettingError
from nulltext.files import check_output


def invert(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The photograph.", show_default=False)],
    caption: Annotated[str, typer.Argument(metavar="CAPTION", help="What it shows, in words.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; the picture's name with .safetensors, in this folder, if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    method: Annotated[
        Literal["direct", "null-text", "ddim"],
        typer.Option(
            help="direct keeps the pivot itself, quick and exact; null-text optimises, as in the paper; ddim alone "
            "drifts away under guidance."
        ),
    ] = "direct",
    steps: options.Steps = 50,
    inner_steps: Annotated[
        int | None,
        typer.Option(min=1, help="null-text: at most so many optimiser steps at each of them, N; 10 if not given."),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="The weight w that edits will use; the model's own, and for ddim 1, if not given."),
    ] = None,
    preset: Annotated[
        Literal["published", "paper"] | None,
        typer.Option(help="null-text: constants of the authors' code, or of their paper; published if not given."),
    ] = None,
    fit: Annotated[
        Literal["crop", "pad"], typer.Option(help="How the picture is brought to the model's size.")
    ] = "crop",
    model: options.ModelName = "scenes",
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    low_memory: options.LowMemory = False,
    compiled: options.Compiled = False,
    force: options.Force = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Invert a photograph, so that it can be edited by changing its caption.

    Writes a file with all that edits need, and says how well the photograph is reconstructed from it, against the bound
    that the model's autoencoder sets.
    """
    destination = outputs.inversion_path(output or Path(f"{picture.stem}.safetensors"))
    check_output(destination, overwrite=force)
    if method != "null-text" and (inner_steps is not None or preset is not None):
        raise SettingError(
            f"got --inner-steps or --preset with --method {method}, which optimises nothing. Leave them out, or ask "
            "for --method null-text."
        )

    from nulltext import DDIM, DirectInversion, NullText, load, open_image
    from nulltext.models.precision import precision_of

    if method == "ddim":
        inverter = DDIM(steps=steps, guidance=1.0 if guidance is None else guidance)
    elif method == "direct":
        inverter = DirectInversion(steps=steps, guidance=guidance)
    else:
        kind = NullText.paper if preset == "paper" else NullText.published
        inverter = kind(steps=steps, inner_steps=inner_steps or 10, guidance=guidance)
    with terminal.loading(model):
        loaded = load(model, config=config, device=device, dtype=dtype, low_memory=low_memory, compiled=compiled)
    photo = open_image(picture, loaded, fit=fit)
    start = time.perf_counter()
    with terminal.progress() as on_progress:
        inversion = inverter(loaded, photo, caption, on_progress)
    seconds = time.perf_counter() - start
    inversion.save(destination, overwrite=force)

    scores = inversion.scores
    if json:
        terminal.print_json(
            {
                "file": str(destination),
                "picture": str(picture),
                "caption": inversion.caption,
                "model": inversion.model.id,
                "method": inversion.method,
                "settings": dict(inversion.settings),
                "guidance": inversion.guidance,
                "vae_psnr": scores.vae_psnr,
                "psnr": scores.psnr,
                "gap_db": scores.vae_psnr - scores.psnr,
                "seconds": seconds,
                "device": str(loaded.device),
                "dtype": precision_of(loaded).removeprefix("torch."),
            }
        )
        return
    terminal.show(
        f"{destination}\n"
        f"PSNR {scores.psnr:.2f} dB at guidance {inversion.guidance:g}; "
        f"the autoencoder alone gives {scores.vae_psnr:.2f} dB\n"
        f"{seconds:.1f} s on {loaded.device}\n"
        f'Next: nulltext edit {shlex.quote(undashed(destination))} "the caption with other words"'
    )
