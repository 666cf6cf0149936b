"""`nulltext edit`: an inversion file and new prompts in, images out, by any editor."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nulltext.cli import methods, options, outputs, terminal
from nulltext.cli.models import FileLoading
from nulltext.editing.table import EDITOR, EDITORS
from nulltext.spelling.options import settings_of
from nulltext.spelling.records import record

if TYPE_CHECKING:
    from nulltext import Edit, Editor, Inversion


def edit(
    file: options.InversionFile,
    prompts: Annotated[
        list[str], typer.Argument(metavar="PROMPT...", help="One new prompt or several.", show_default=False)
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="An image file for one prompt, a folder for several; named after file and prompt if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    reconstruction: Annotated[
        Path | None,
        typer.Option(metavar="IMAGE", help="Write the source, reconstructed, there.", rich_help_panel="Output"),
    ] = None,
    editor: Annotated[str, typer.Option(metavar="NAME", help="How; see above.")] = EDITOR,
    guidance: options.FileGuidance = None,
    negative_prompt: options.FileNegativePrompt = None,
    loading: FileLoading,
    reporting: options.Reporting,
    **settings: object,
) -> None:
    """Edit an inverted photograph by other prompts: one image for each.

    The prompt it was inverted with, with a word or two changed or added, works best; `nulltext show FILE` prints it.
    With prompt-to-prompt, if too much of the photograph changes, raise --self and --cross or name what changes with
    --blend; if the edit is hardly seen, lower them or give its word more --weight.
    """
    outputs.edit_paths(prompts, output, file.stem)  # refused before anything is loaded
    asked = methods.made(EDITORS, editor, settings, guidance=guidance, negative_prompt=negative_prompt)
    paths = Paths.of(asked, prompts, output, file.stem, reconstruction)
    outputs.check_all(paths.all, force=reporting.force)

    from nulltext import Inversion
    from nulltext.editing.base import in_force

    inversion = Inversion.load(file)
    model = loading.load(inversion.model)
    left, used = methods.left_to(model, asked), in_force(asked, model)
    start = time.perf_counter()
    with terminal.progress() as on_progress:
        result = asked(model, inversion, prompts, on_progress)
    seconds = time.perf_counter() - start
    paths.write(result, force=reporting.force)
    if reporting.json:
        of_run = {"file": str(file), **_record(result, inversion, paths, editor, used)}
        terminal.print_json(of_run | {"left_to_the_model": left, "seconds": seconds})
        return
    for prompt, kind in zip(prompts, result.kinds, strict=False):
        terminal.say(f"{kind}: {prompt}")
    for option, why in left.items():
        terminal.say(f"{option} {why}")
    terminal.show("\n".join(map(str, paths.all)))


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where the images of an edit go; of what is not asked for there are none."""

    edits: list[Path]
    masks: list[Path]
    reconstruction: list[Path]
    maps: list[Path]

    @classmethod
    def of(
        cls, editor: "Editor", prompts: Sequence[str], output: Path | None, stem: str, reconstruction: Path | None
    ) -> "Paths":
        """Those of an editor, which may be asked for its maps and masks."""
        edits = outputs.edit_paths(prompts, output, stem)
        maps = bool(getattr(editor, "maps", False))
        masks = maps and getattr(editor, "blend", None) is not None
        return cls(
            edits=edits,
            masks=[path.with_name(f"{path.stem}-mask.png") for path in edits] if masks else [],
            reconstruction=[] if reconstruction is None else [outputs.image_path(reconstruction)],
            maps=[edits[0].with_name(f"{edits[0].stem if len(edits) == 1 else stem}-maps.png")] if maps else [],
        )

    @property
    def all(self) -> list[Path]:
        """All of them."""
        return [*self.edits, *self.masks, *self.reconstruction, *self.maps]

    def write(self, result: "Edit", *, force: bool) -> None:
        """Writes the images of an edit."""
        images = [*result.images, *(result.mask_images if self.masks else [])]
        images += [result.reconstruction] if self.reconstruction else []
        images += [result.maps.sheet()] if result.maps is not None else []
        for path, image in zip(self.all, images, strict=True):
            outputs.write_image(path, image, force=force)


def _record(result: "Edit", inversion: "Inversion", paths: Paths, word: str, used: "Editor") -> dict[str, Any]:
    kinds, w = result.kinds or [word] * len(paths.edits), getattr(used, "guidance", None)
    negative = getattr(used, "negative_prompt", None)
    return {
        "source_prompt": inversion.prompt,
        "edits": [
            {"prompt": prompt, "path": str(path), "kind": kind}
            for prompt, path, kind in zip(result.prompts, paths.edits, kinds, strict=True)
        ],
        "masks": [str(path) for path in paths.masks],
        "maps": str(paths.maps[0]) if paths.maps else None,
        "reconstruction": str(paths.reconstruction[0]) if paths.reconstruction else None,
        "model": inversion.model.id,
        "editor": word,
        "guidance": inversion.guidance if w is None else w,
        "negative_prompt": inversion.negative_prompt if negative is None else negative,
        "settings": [settings_in_force(each, word) for each in result.settings],
    }


def settings_in_force(editor: object, word: str) -> dict[str, Any]:
    """Settings in force, for JSON: of Prompt-to-Prompt those that models recommend, by their options' names."""
    if word != EDITOR:
        return record(editor)
    return {
        each.option.removeprefix("--"): next(methods.values_at(editor, each.path), None)
        for each in settings_of(type(editor))
        if each.recommended is not None
    }
