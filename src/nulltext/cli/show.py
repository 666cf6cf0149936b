"""`nulltext show`: what an inversion file holds and how it was made."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.editing.table import EDITOR, EDITORS
from nulltext.errors import SettingError
from nulltext.spelling.options import settings_of

if TYPE_CHECKING:
    from nulltext import Inversion, ModelIdentity


_PNG = b"\x89PNG\r\n\x1a\n"
BEGINS = "edits begin with"
"""The one row of several lines."""


def show(
    file: options.InversionFile,
    *,
    image: Annotated[
        Path | None,
        typer.Option(metavar="IMAGE", help="Write the source image it holds there.", rich_help_panel="Output"),
    ] = None,
    reporting: options.Reporting,
) -> None:
    """Print an inversion file's recipe and how well the photograph is reconstructed from it.

    An edited image that was downloaded from the app carries its recipe as well.
    """
    if (recipe := _recipe(file)) is not None:
        if image is not None:
            raise SettingError("got --image with an edited image; expected an inversion file, which holds the source.")
        if reporting.json:
            terminal.print_json(recipe)
        else:
            for name, value in recipe.items():
                terminal.show(terminal.printable(f"{name}: {_plain(value)}"))
        return
    if image is not None:
        outputs.check_all([outputs.image_path(image)], force=reporting.force)

    from nulltext import Inversion
    from nulltext.images import to_pixels

    inversion = Inversion.load(file)
    if image is not None:
        outputs.write_image(image, inversion.restore(to_pixels(inversion.image)), force=reporting.force)
    height, width = inversion.frame.size
    fitted_height, fitted_width = inversion.image.shape[:2]
    if reporting.json:
        terminal.print_json(_record(file, inversion))
        return

    from rich.table import Table

    settings = ", ".join(f"{key} {_plain(value)}" for key, value in inversion.settings.items() if value != "")
    table = Table(show_header=False, box=None)
    for name, value in {
        "prompt": inversion.prompt,
        **({"negative prompt": inversion.negative_prompt} if inversion.negative_prompt else {}),
        "PSNR": f"{inversion.scores.psnr:.2f} dB at guidance {inversion.guidance:g}",
        "autoencoder alone": f"{inversion.scores.vae_psnr:.2f} dB",
        "method": f"{inversion.method}: {settings}",
        "model": str(inversion.model),
        BEGINS: "\n".join(terminal.printable(f"{option} {why}") for option, why in begin_with(inversion.model).items()),
        "image": f"{width} x {height}, fitted to {fitted_width} x {fitted_height}, SHA-256 {inversion.sha256[:12]}",
        "file": f"{file}, {file.stat().st_size / 1e6:.2f} MB, written by nulltext {inversion.version}",
    }.items():
        table.add_row(name, terminal.printable(value, lines=name == BEGINS))
    terminal.show(table)


def _recipe(file: Path) -> dict[str, object] | None:
    """How an image was made, if it is a PNG that says so."""
    from nulltext.web.recipes import recipe_in

    try:
        with file.open("rb") as opened:
            data = opened.read() if opened.read(len(_PNG)) == _PNG and not opened.seek(0) else b""
    except OSError:
        return None  # what opens it as an inversion says why
    return recipe_in(data) if data else None


def _record(file: Path, inversion: "Inversion") -> dict[str, object]:
    height, width = inversion.frame.size
    fitted_height, fitted_width = inversion.image.shape[:2]
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "prompt": inversion.prompt,
        "negative_prompt": inversion.negative_prompt,
        "model": inversion.model.id,
        "revision": inversion.model.revision,
        "additions": [asdict(each) for each in inversion.model.additions],
        "method": inversion.method,
        "settings": dict(inversion.settings),
        "guidance": inversion.guidance,
        "steps": len(inversion.schedule),
        "width": width,
        "height": height,
        "fitted_width": fitted_width,
        "fitted_height": fitted_height,
        "sha256": inversion.sha256,
        "vae_psnr": inversion.scores.vae_psnr,
        "psnr": inversion.scores.psnr,
        "version": inversion.version,
        "edits_begin_with": begin_with(inversion.model),
    }


def begin_with(identity: "ModelIdentity") -> dict[str, str]:
    """What edits with a model take where no option says otherwise, by option, and where that comes from."""
    from nulltext.models.recommended import Recommended
    from nulltext.models.weights import recommended_by

    recommendation = recommended_by(identity)
    unsure = (
        "" if recommendation is not None else f", unless {identity.id!r}, which is not loaded for this, says otherwise"
    )
    recommendation = recommendation or Recommended()
    names = {each.option: each.recommended for each in settings_of(EDITORS[EDITOR].load())}
    return {
        option: recommendation.why(name, identity.id) + unsure for option, name in names.items() if name is not None
    }


def _plain(value: object) -> str:
    if isinstance(value, dict):
        settings = cast("dict[str, object]", value)
        return "(" + ", ".join(f"{key} {_plain(each)}" for key, each in settings.items()) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
