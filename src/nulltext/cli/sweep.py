"""`nulltext sweep`: one edit under many settings, side by side in one image."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nulltext.cli import methods, options, outputs, terminal
from nulltext.cli.models import FileLoading
from nulltext.editing.table import EDITOR, EDITORS
from nulltext.errors import EmptyMaskError, SettingError, shown

if TYPE_CHECKING:
    from PIL.Image import Image

    from nulltext import Edit, Inversion, Model, PromptToPrompt
    from nulltext.progress import OnProgress
    from nulltext.text.words import Tokens

    Edited = tuple[Edit, Image] | EmptyMaskError

ONE_PROMPT = {"chain", "maps", "correct_source", "guidance", "negative_prompt"}
"""Settings of Prompt-to-Prompt that are of a whole run, which a sweep does not take."""
SETTINGS = ("cross", "self", "threshold", "start", "weight:WORD")


def sweep(
    file: options.InversionFile,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The new prompt.", show_default=False)],
    *,
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
            metavar="IMAGE",
            help="Where to write; named after file and prompt if not given.",
            rich_help_panel="Output",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="How many are sampled at once, the source with each.")] = 8,
    loading: FileLoading,
    reporting: options.Reporting,
    **settings: object,
) -> None:
    """Draw one edit under many settings, as a grid in one image, to choose them by eye.

    It also takes the options of one prompt that `nulltext edit --editor prompt-to-prompt --help` shows.
    """
    axes = [read_axis(text) for text in over]
    if len(axes) not in {1, 2} or len(dict(axes)) < len(axes):
        raise SettingError(f"--over: got {', '.join(over)}; expected one setting or two different ones.")
    sheet = outputs.image_path(output or Path(f"{file.stem}-{outputs.slug(prompt)}-sweep.png"))
    outputs.check_all([sheet], force=reporting.force)
    plain = methods.made(EDITORS, EDITOR, settings)
    points = [dict(zip(dict(axes), point, strict=True)) for point in itertools.product(*dict(axes).values())]
    editors = [vary(plain, point) for point in points]

    from nulltext import Inversion
    from nulltext.editing.base import in_force

    inversion = Inversion.load(file)
    model = loading.load(inversion.model)
    left = methods.left_to(model, editors[0])
    editors = [in_force(editor, model) for editor in editors]
    editors = without_idle_weights(editors, model.tokenize(prompt), steps=len(inversion.schedule))
    start = time.perf_counter()
    edits = _draw_all(model, inversion, prompt, editors, batch)
    seconds, edit = time.perf_counter() - start, _any_edit(edits)
    texts = ["  ".join(f"{name} {value:g}" for name, value in point.items()) for point in points]
    image = _sheet(edit, inversion.prompt, prompt, edits, texts, width=len(axes[-1][1]))
    outputs.write_image(sheet, image, force=reporting.force)
    if reporting.json:
        empty = [point for point, each in zip(points, edits, strict=True) if isinstance(each, EmptyMaskError)]
        of_run = {"path": str(sheet), "prompt": prompt, "kind": edit.kinds[0], "settings": points}
        terminal.print_json(of_run | {"empty_masks": empty, "left_to_the_model": left, "seconds": seconds})
        return
    _tell(sheet, f"{edit.kinds[0]}: {prompt}", left, texts, edits)


def _tell(sheet: Path, kind: str, left: Mapping[str, str], texts: Sequence[str], edits: "Sequence[Edited]") -> None:
    terminal.say(kind)
    for option, why in left.items():
        terminal.say(f"{option} {why}")
    for text, each in zip(texts, edits, strict=True):
        if isinstance(each, EmptyMaskError):
            terminal.say(f"{text}: {each}")
    terminal.show(str(sheet))


def _any_edit(edits: "Sequence[Edited]") -> "Edit":
    """An edit in which one of the points was drawn.

    Raises:
        EmptyMaskError: There is none.
    """
    for each in edits:
        if not isinstance(each, EmptyMaskError):
            return each[0]
    raise next(each for each in edits if isinstance(each, EmptyMaskError))


def _draw_all(
    model: "Model", inversion: "Inversion", prompt: str, editors: "list[PromptToPrompt]", batch: int
) -> "list[Edited]":
    """All points of a sweep, so many at once."""
    from nulltext.progress import numbered

    rounds = [editors[first : first + batch] for first in range(0, len(editors), batch)]
    with terminal.progress() as on_progress:
        return [
            each
            for index, some in enumerate(rounds, start=1)
            for each in draw_points(model, inversion, prompt, some, numbered(on_progress, index, len(rounds)))
        ]


def _sheet(
    edit: "Edit", source: str, prompt: str, edits: "Sequence[Edited]", texts: Sequence[str], *, width: int
) -> "Image":
    """The points of a sweep beside their source, so many in a row."""
    from nulltext.contact_sheet import Cell, contact_sheet

    first = Cell(image=edit.reconstruction, text=source)
    blank = Cell(image=first.image.point(lambda _: 255))
    cells = [
        replace(blank, text=f"{text}  mask empty")
        if isinstance(each, EmptyMaskError)
        else Cell(image=each[1], text=text)
        for each, text in zip(edits, texts, strict=True)
    ]
    rows = [[blank if at else first, *cells[at : at + width]] for at in range(0, len(cells), width)]
    headings = ["source", prompt, *([""] * (width - 1))]
    return contact_sheet(headings, rows, cell_size=192)


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
            f"--over: got {shown(text)}; expected one of {', '.join(SETTINGS)} and its values, as in self=0,0.4,0.8."
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
                editor = replace(editor, cross_attention={**editor.shares, "": value})
            case ["self"]:
                editor = replace(editor, self_attention=value)
            case ["weight", word]:
                editor = replace(editor, reweight={**editor.reweight, word: value})
            case _:
                if editor.blend is None:
                    raise SettingError(f"--over {name}: there is no blend to vary. Add --blend, --keep-out or --mask.")
                editor = replace(editor, blend=replace(editor.blend, **{name: value}))
    return editor


def without_idle_weights(editors: "list[PromptToPrompt]", prompt: "Tokens", *, steps: int) -> "list[PromptToPrompt]":
    """The points of a sweep, each without the weights of words that follow the source in no step of that point.

    A weight acts in the steps of cross-attention only, and to give one that cannot is an error; but a sweep of
    cross-attention from 0 on is meant to have such points. A weight that is idle at every point stays for the error.

    Args:
        editors: The points.
        prompt: The new prompt.
        steps: T.

    Raises:
        WordNotFoundError: The prompt lacks a word of the settings.
    """
    from nulltext.attention.word_steps import WordSteps

    shares = [editor.shares for editor in editors]
    when = WordSteps.of([prompt] * len(editors), shares, steps=steps, length=prompt.rows).table.any(0)
    acting = [
        {word for word in editor.reweight if own[prompt.find(word)].any()}
        for editor, own in zip(editors, when, strict=True)
    ]
    anywhere = set[str]().union(*acting)
    return [
        replace(
            editor,
            reweight={word: by for word, by in editor.reweight.items() if word in here or word not in anywhere},
        )
        for editor, here in zip(editors, acting, strict=True)
    ]


def draw_points(
    model: "Model",
    inversion: "Inversion",
    prompt: str,
    editors: "Sequence[PromptToPrompt]",
    on_progress: "OnProgress",
) -> "list[Edited]":
    """Draws some points of a sweep in one batch; if a mask is empty, one by one, to find which.

    Args:
        model: The model the file was inverted with.
        inversion: The inversion.
        prompt: The new prompt.
        editors: The points.
        on_progress: Called for every step.

    Returns:
        For each point the edit it was drawn in and its image, or the error that its empty mask is.
    """
    try:
        edit = editors[0].each(model, inversion, [(prompt, editor) for editor in editors], on_progress)
    except EmptyMaskError as error:
        if len(editors) == 1:
            return [error.with_traceback(None)]  # which would keep the tensors of the run alive
    else:
        return [(edit, image) for image in edit.images]
    return [each for editor in editors for each in draw_points(model, inversion, prompt, [editor], on_progress)]
