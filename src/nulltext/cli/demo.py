"""`nulltext demo`: images the embedded model has never seen, inverted and edited."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nulltext.cli import options, outputs, terminal
from nulltext.cli.models import Loading
from nulltext.progress import numbered

if TYPE_CHECKING:
    from PIL.Image import Image

    from nulltext.bench.reconstruct_all import Comparison
    from nulltext.contact_sheet import Cell
    from nulltext.editing.base import Edit
    from nulltext.scenes.world import Scene

EDITS = (("shape", "color"), ("color", "ground"), ("shape", "time"), ("ground", "color"))
"""Which words change, in the two edits of each image in turn."""


@dataclass(frozen=True, kw_only=True)
class _Result:
    """One image of the demo."""

    prompt: str
    comparison: "Comparison"
    edit: "Edit"
    file: Path


def demo(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.", rich_help_panel="Output")
    ] = Path("nulltext-demo"),
    images: Annotated[int, typer.Option(min=1, max=1000, help="How many images.")] = 4,
    steps: options.Steps = 50,
    inner_steps: options.InnerSteps = 10,
    guidance: options.Guidance = 7.5,
    seed: options.Seed = 0,
    size: options.Size = None,
    loading: Loading,
    reporting: options.Reporting,
) -> None:
    """Invert and edit a few images held out from training, and show what each method makes of them.

    They are reconstructed at --guidance, and edited at what suits the model. Writes an inversion file for each and one
    contact sheet, and prints how well each is reconstructed. Needs no network.
    """
    sheet = outputs.folder_path(output) / "contact-sheet.png"
    files = [output / f"image-{number}.safetensors" for number in range(1, images + 1)]
    outputs.check_all([sheet, *files], force=reporting.force)
    wanted = options.parse_size(size)

    from nulltext import NullText, PromptToPrompt
    from nulltext.bench.cases.scenes import scene_image
    from nulltext.bench.reconstruct_all import compare
    from nulltext.images import nearest_size
    from nulltext.models.sizes import warning_of
    from nulltext.scenes.captions import caption
    from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

    inverter = NullText(steps=steps, inner_steps=inner_steps, guidance=guidance)
    loaded = loading.load()
    fitted = None if wanted is None else nearest_size(loaded, wanted)
    if fitted is not None and (said := warning_of(loaded, fitted)) is not None:
        terminal.say(f"Warning: {said}")
    outputs.make_folder(output)
    results: list[_Result] = []
    with terminal.progress() as on_progress:
        for index, file in enumerate(files):
            number = HELD_OUT_SEEDS[(seed + index) % len(HELD_OUT_SEEDS)]
            scene = sample_scene(number, things=1, style="photo")
            image, source = scene_image(scene, loaded, size=fitted)
            tell = numbered(on_progress, index + 1, images)
            comparison = compare(loaded, image, source, inverter, tell)
            edited = [caption(after) for after in edited_scenes(scene, EDITS[index % len(EDITS)], number)]
            inversion = comparison.inversion
            if loaded.guidance != guidance:  # edits are made at the guidance that suits the model
                inversion = NullText(steps=steps, inner_steps=inner_steps)(loaded, image, source, tell)
            edit = PromptToPrompt()(loaded, inversion, edited, tell)
            inversion.save(file, overwrite=reporting.force)
            results.append(_Result(prompt=source, comparison=comparison, edit=edit, file=file))
    outputs.write_image(sheet, _render_sheet(results, guidance, loaded.guidance), force=reporting.force)

    if reporting.json:
        terminal.print_json({"contact_sheet": str(sheet), "images": [_record(result) for result in results]})
    else:
        _print_table(results, guidance)
        terminal.show(f"{sheet}\n{files[0]}" + (f" … {files[-1]}" if len(files) > 1 else ""))


def edited_scenes(scene: "Scene", kinds: tuple[str, str], seed: int) -> list["Scene"]:
    """The scene with one word changed, once for each kind of word; which word it becomes is random."""
    from nulltext.scenes.captions import one_word_edits

    rng = random.Random(seed)  # noqa: S311  a choice of words, not a secret
    return [rng.choice([after for kind, after in one_word_edits(scene) if kind == wanted]) for wanted in kinds]


def _render_sheet(results: list[_Result], guidance: float, edited_at: float) -> "Image":
    from nulltext.contact_sheet import contact_sheet

    headings = ["source", "autoencoder (bound)", "DDIM w=1", f"DDIM w={guidance:g}", f"null-text w={guidance:g}"]
    headings += [f"edit w={edited_at:g}", f"another edit w={edited_at:g}"]
    return contact_sheet(headings, [_row(result) for result in results])


def _row(result: _Result) -> list["Cell"]:
    from nulltext.contact_sheet import Cell
    from nulltext.images import to_image, to_pixels

    each = result.comparison
    return [
        Cell(image=to_image(to_pixels(each.inversion.image)), text=result.prompt),
        Cell(image=to_image(each.vae), text=f"{each.vae_db:.1f} dB"),
        Cell(image=to_image(each.ddim), text=f"{each.ddim_db:.1f} dB"),
        Cell(image=to_image(each.ddim_guided), text=f"{each.ddim_guided_db:.1f} dB"),
        Cell(image=to_image(each.nulltext), text=f"{each.nulltext_db:.1f} dB"),
        *(
            Cell(image=image, text=prompt, unlike=result.prompt)
            for image, prompt in zip(result.edit.images, result.edit.prompts, strict=True)
        ),
    ]


def _record(result: _Result) -> dict[str, object]:
    each = result.comparison
    return {
        "file": str(result.file),
        "prompt": result.prompt,
        "edits": list(result.edit.prompts),
        "vae_db": each.vae_db,
        "ddim_db": each.ddim_db,
        "ddim_guided_db": each.ddim_guided_db,
        "nulltext_db": each.nulltext_db,
        "seconds": each.seconds,
    }


def _print_table(results: list[_Result], guidance: float) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title="PSNR against the source, dB", title_justify="left", show_footer=len(results) > 1
    )
    columns = {
        "VAE\nround trip": [each.comparison.vae_db for each in results],
        f"DDIM\nw={guidance:g}": [each.comparison.ddim_guided_db for each in results],
        f"null-text\nw={guidance:g}": [each.comparison.nulltext_db for each in results],
        "seconds": [each.comparison.seconds for each in results],
    }
    table.add_column("image", "mean")
    for name, values in columns.items():
        table.add_column(name, f"{sum(values) / len(values):.1f}", justify="right")
    for index, result in enumerate(results):
        table.add_row(terminal.printable(result.prompt), *(f"{values[index]:.1f}" for values in columns.values()))
    terminal.show(table)
