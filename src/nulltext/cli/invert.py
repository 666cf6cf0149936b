"""`nulltext invert`: a photograph and its prompt in, an inversion file out."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nulltext.cli import methods, options, outputs, terminal
from nulltext.cli.models import Loading
from nulltext.cli.outputs import undashed
from nulltext.fetching import is_address, name_in
from nulltext.files import check_output
from nulltext.inversion.table import INVERTERS, METHOD

if TYPE_CHECKING:
    from nulltext import Inversion, Model
    from nulltext.images import Frame

MOST_OF = 0.95
"""Of an image's pixels: where no more are taken, that is said."""


def invert(
    source: Annotated[
        str, typer.Argument(metavar="IMAGE", help="The photograph: a file, or an http(s) address.", show_default=False)
    ],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What it shows, in words.", show_default=False)],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; the image's name with .safetensors, in this folder, if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="How; see above.")] = METHOD,
    steps: options.MethodSteps = None,
    guidance: options.InversionGuidance = None,
    negative_prompt: options.NegativePrompt = None,
    fit: Annotated[
        Literal["crop", "pad"],
        typer.Option(
            help="How an image of another shape is brought to the model's size: crop takes its middle, pad all of it."
        ),
    ] = "crop",
    size: options.Size = None,
    loading: Loading,
    reporting: options.Reporting,
    **settings: object,
) -> None:
    """Invert a photograph, so that it can be edited by changing its prompt.

    Writes a file with all that edits need, and says how well the photograph is reconstructed from it, against the bound
    that the model's autoencoder sets.
    """
    destination = outputs.inversion_path(
        output or Path(f"{Path(name_in(source) if is_address(source) else source).stem}.safetensors")
    )
    check_output(destination, overwrite=reporting.force)
    wanted = options.parse_size(size)

    from nulltext import open_image

    _check_image(source)
    common = {"steps": steps, "guidance": guidance, "negative_prompt": negative_prompt}
    inverter = methods.made(INVERTERS, method, settings, **common)
    model = loading.load()
    with terminal.saying_warnings():
        image = open_image(source, model, fit=fit, size=wanted)
    start = time.perf_counter()
    with terminal.progress() as on_progress:
        inversion = inverter(model, image, prompt, on_progress)
    seconds = time.perf_counter() - start
    inversion.save(destination, overwrite=reporting.force)
    if reporting.json:
        terminal.print_json({"file": str(destination), "image": source, **_record(inversion, model, seconds)})
        return
    _tell(destination, inversion, model, seconds)


def _check_image(source: str) -> None:
    """Refuses what is no image before a model is loaded, which takes longer."""
    from nulltext.decoding import decode, read_bytes

    if not is_address(source):
        decode(source, read_bytes(Path(source)))


def _tell(destination: Path, inversion: "Inversion", model: "Model", seconds: float) -> None:
    """Tells a person what was made, and what to do next."""
    _say_what_is_cut(inversion.frame, model)
    scores = inversion.scores
    terminal.show(
        f"{destination}\n"
        f"PSNR {scores.psnr:.2f} dB at guidance {inversion.guidance:g}; "
        f"the autoencoder alone gives {scores.vae_psnr:.2f} dB\n"
        f"{seconds:.1f} s on {model.device}\n"
        f'Next: nulltext edit {shlex.quote(undashed(destination))} "the prompt with other words"'
    )


def _say_what_is_cut(frame: "Frame", model: "Model") -> None:
    """Says that edges will stay as they are, and how to have them edited as well."""
    from nulltext.images import nearest_size

    left, top, right, bottom = frame.part
    whole, part = frame.size[0] * frame.size[1], (right - left) * (bottom - top)
    if part > MOST_OF * whole:
        return
    own = model.default_size[0] * model.default_size[1]
    scale = (own / whole) ** 0.5
    height, width = nearest_size(model, (max(8, round(frame.size[0] * scale)), max(8, round(frame.size[1] * scale))))
    terminal.say(
        f"Of the image's {frame.size[1]} x {frame.size[0]} pixels the middle {right - left} x {bottom - top} are "
        f"taken; the rest stays as it is in every edit. --size {height}x{width}, or --fit pad, takes all of it."
    )


def _record(inversion: "Inversion", model: "Model", seconds: float) -> dict[str, Any]:
    from nulltext.models.precision import precision_of

    scores = inversion.scores
    return {
        "prompt": inversion.prompt,
        "negative_prompt": inversion.negative_prompt,
        "model": inversion.model.id,
        "method": inversion.method,
        "settings": dict(inversion.settings),
        "guidance": inversion.guidance,
        "vae_psnr": scores.vae_psnr,
        "psnr": scores.psnr,
        "gap_to_vae": scores.vae_psnr - scores.psnr,
        "seconds": seconds,
        "device": str(model.device),
        "dtype": precision_of(model).removeprefix("torch."),
    }
