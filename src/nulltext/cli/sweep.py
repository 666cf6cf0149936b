"""`nulltext sweep`: one edit under many settings, side by side in one picture."""

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nulltext.cli import controls, options, outputs, terminal
from nulltext.cli.models import load_for
from nulltext.errors import SettingError

if TYPE_CHECKING:
    from nulltext import PromptToPrompt

SETTINGS = ("cross", "self", "threshold", "start", "weight:WORD")


def sweep(
    file: options.InversionFile,
    caption: Annotated[str, typer.Argument(metavar="CAPTION", help="The new caption.", show_default=False)],
    over: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUES",
            help="What to vary, as in self=0,0.4,0.8; one gives a row, two a grid. cross, self, threshold, start, or "
            "weight:WORD.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PICTURE",
            help="Where to write; named after file and caption if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    cross: controls.Cross = None,
    self_share: controls.Self = None,
    kind: controls.Kind = "auto",
    weight: controls.Weight = None,
    blend: controls.BlendWords = None,
    mask: controls.DrawnMask = None,
    keep_out: controls.KeepOut = None,
    threshold: controls.Threshold = None,
    blend_start: controls.BlendStart = None,
    batch: Annotated[int, typer.Option(min=1, help="How many are drawn at once; the source is drawn with each.")] = 8,
    model: options.FileModel = None,
    config: options.Config = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    force: options.Force = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Draw one edit under many settings, as a grid in one picture, to choose them by eye."""
    axes = [read_axis(text) for text in over]
    if len(axes) not in {1, 2} or len(dict(axes)) < len(axes):
        raise SettingError(f"--over: got {', '.join(over)}; expected one setting or two different ones.")
    sheet = outputs.picture_path(output or Path(f"{file.stem}-{outputs.slug(caption)}-sweep.png"))
    outputs.check_all([sheet], force=force)
    blending = controls.read_blend(blend, mask=mask, keep_out=keep_out or (), threshold=threshold, start=blend_start)
    plain = controls.editor(cross=cross, self_share=self_share, kind=kind, weights=weight, blend=blending)
    names, values = [name for name, _ in axes], [of for _, of in axes]
    points = list(itertools.product(*values))
    editors = [vary(plain, dict(zip(names, point, strict=True))) for point in points]

    from nulltext import Inversion
    from nulltext.contact_sheet import Cell, contact_sheet
    from nulltext.editing.prompt_to_prompt import draw
    from nulltext.progress import numbered

    inversion = Inversion.load(file)
    loaded = load_for(inversion.model, model, config=config, device=device, dtype=dtype)
    start = time.perf_counter()
    rounds = [editors[first : first + batch] for first in range(0, len(editors), batch)]
    with terminal.progress() as on_progress:
        drawn = [
            draw(loaded, inversion, [caption] * len(some), some, numbered(on_progress, index, len(rounds)))
            for index, some in enumerate(rounds, start=1)
        ]
    seconds = time.perf_counter() - start
    images = [image for edit in drawn for image in edit.images]
    texts = ["  ".join(f"{name} {value:g}" for name, value in zip(names, point, strict=True)) for point in points]
    width = len(values[-1])
    rows = [
        [
            Cell(image=image, text=text)
            for image, text in zip(images[at : at + width], texts[at : at + width], strict=True)
        ]
        for at in range(0, len(images), width)
    ]
    first_column = [Cell(image=drawn[0].reconstruction, text=inversion.caption)]
    blank = [Cell(image=first_column[0].image.point(lambda _: 255))]
    rows = [(first_column if index == 0 else blank) + row for index, row in enumerate(rows)]
    headings = ["source", caption, *([""] * (width - 1))]
    outputs.write_picture(sheet, contact_sheet(headings, rows, cell_size=192), force=force)

    if json:
        settings = [dict(zip(names, point, strict=True)) for point in points]
        terminal.print_json({"path": str(sheet), "caption": caption, "settings": settings, "seconds": seconds})
        return
    terminal.show(str(sheet))


def read_axis(text: str) -> tuple[str, list[float]]:
    """The name and the values of "self=0,0.4,0.8".

    Raises:
        SettingError: Another setting, or values that are no numbers.
    """
    name, _, values = text.partition("=")
    name = name.strip()
    known = name in SETTINGS[:-1] or (name.startswith("weight:") and name != "weight:")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        numbers = []
    if not known or not numbers:
        raise SettingError(
            f"--over: got {text!r}; expected one of {', '.join(SETTINGS)} and its values, as in self=0,0.4,0.8."
        )
    return name, numbers


def vary(editor: "PromptToPrompt", values: dict[str, float]) -> "PromptToPrompt":
    """The editor with some of its settings replaced, named as in `SETTINGS`.

    Raises:
        SettingError: A value is out of range, or a setting of a blend is varied and there is none.
    """
    for name, value in values.items():
        match name.split(":", 1):
            case ["cross"]:
                editor = replace(editor, cross_attention=value)
            case ["self"]:
                editor = replace(editor, self_attention=value)
            case ["weight", word]:
                editor = replace(editor, reweight={**editor.reweight, word: value})
            case _:
                if editor.blend is None:
                    raise SettingError(f"--over {name}: there is no blend to vary. Add --blend, --keep-out or --mask.")
                editor = replace(editor, blend=replace(editor.blend, **{name: value}))
    return editor
