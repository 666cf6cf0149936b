"""`nulltext edit`: an inversion file and new captions in, pictures out."""

import time
from pathlib import Path
from typing import Annotated

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.cli.models import load_for


def edit(
    file: options.InversionFile,
    captions: Annotated[
        list[str], typer.Argument(metavar="CAPTION...", help="One new caption or several.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A picture file for one caption, a folder for several; named after file and caption if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    reconstruction: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Write the source, drawn again, there.", rich_help_panel="Output"),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="The weight w; the file's own if not given, and for null-text no other.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="The one named in the file if not given.", rich_help_panel="Model"
        ),
    ] = None,
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    force: options.Force = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Draw an inverted photograph under other captions: one picture for each.

    The caption it was inverted with, with a word or two changed, works best; `nulltext show FILE` prints it.
    """
    paths = outputs.edit_paths(captions, output, file.stem)
    check = [] if reconstruction is None else [outputs.picture_path(reconstruction)]
    outputs.check_all([*paths, *check], force=force)

    from nulltext import CaptionSwap, Inversion

    inversion = Inversion.load(file)
    loaded = load_for(inversion.model, model, config=config, device=device, dtype=dtype)
    start = time.perf_counter()
    with terminal.progress() as on_progress:
        result = CaptionSwap(guidance=guidance)(loaded, inversion, captions, on_progress)
    seconds = time.perf_counter() - start
    for path, image in zip(paths, result.images, strict=True):
        outputs.write_picture(path, image, force=force)
    for path in check:
        outputs.write_picture(path, result.reconstruction, force=force)

    if json:
        terminal.print_json(
            {
                "file": str(file),
                "source_caption": inversion.caption,
                "edits": [
                    {"caption": caption, "path": str(path)} for caption, path in zip(captions, paths, strict=True)
                ],
                "reconstruction": None if reconstruction is None else str(reconstruction),
                "model": inversion.model.id,
                "guidance": inversion.guidance if guidance is None else guidance,
                "seconds": seconds,
            }
        )
        return
    terminal.show("\n".join(str(path) for path in [*paths, *check]))
