"""`nulltext generate`: a prompt in, an image out."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.cli.models import Loading

if TYPE_CHECKING:
    from nulltext import Inversion, Model


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw, in words.", show_default=False)],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="IMAGE",
            help="Where to write; named after the prompt and the seed if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write an inversion file, with which `nulltext edit` can edit the image.",
            rich_help_panel="Output",
        ),
    ] = None,
    steps: options.Steps = 50,
    guidance: options.ModelGuidance = None,
    negative_prompt: options.NegativePrompt = None,
    seed: options.Seed = 0,
    size: options.Size = None,
    loading: Loading,
    reporting: options.Reporting,
) -> None:
    """Generate an image from a prompt alone."""
    destination = outputs.image_path(output or Path(f"{outputs.slug(prompt)}-{seed}.png"))
    outputs.check_all(
        [destination] if save is None else [destination, outputs.inversion_path(save)], force=reporting.force
    )
    wanted = options.parse_size(size)

    from nulltext import generate_inversion, to_image
    from nulltext.images import to_pixels

    loaded = loading.load()
    _warn(loaded, wanted)
    start = time.perf_counter()
    with terminal.progress() as on_progress:
        asked: dict[str, Any] = {"steps": steps, "guidance": guidance, "seed": seed, "size": wanted}
        inversion = generate_inversion(
            loaded, prompt, **asked, negative_prompt=negative_prompt or "", on_progress=on_progress
        )
    seconds = time.perf_counter() - start
    outputs.write_image(destination, to_image(to_pixels(inversion.image)), force=reporting.force)
    if save is not None:
        outputs.make_folder(save.parent)
        inversion.save(save, overwrite=reporting.force)

    if reporting.json:
        of_file = {"path": str(destination), "file": None if save is None else str(save)}
        terminal.print_json(of_file | _record(inversion, seed=seed, seconds=seconds))
        return
    terminal.show(str(destination) if save is None else f"{destination}\n{save}")


def _warn(model: "Model", size: tuple[int, int] | None) -> None:
    """Says so of a size that the model was not made for."""
    from nulltext.images import nearest_size
    from nulltext.models.sizes import warning_of

    if size is not None and (said := warning_of(model, nearest_size(model, size))) is not None:
        terminal.say(f"Warning: {said}")


def _record(inversion: "Inversion", *, seed: int, seconds: float) -> dict[str, object]:
    height, width = inversion.frame.size
    return {
        "prompt": inversion.prompt,
        "negative_prompt": inversion.negative_prompt,
        "model": inversion.model.id,
        "seed": seed,
        "steps": len(inversion.schedule),
        "guidance": inversion.guidance,
        "width": width,
        "height": height,
        "seconds": seconds,
    }
