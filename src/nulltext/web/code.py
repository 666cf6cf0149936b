"""The code that does what people ask for without the app, in Python and as commands."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from nulltext.editing.base import Editor, EditsEach
from nulltext.editing.change import Change
from nulltext.editing.masks import HasMask, MaskSource
from nulltext.editing.table import EDITOR
from nulltext.spelling.code import python
from nulltext.spelling.options import argv
from nulltext.web.fitting import as_options, as_python
from nulltext.web.requests import EditRequest, InversionRequest


def python_code(
    inversion: InversionRequest, image: str, edit: EditRequest, editors: Sequence[Editor], *, opened: bool
) -> str:
    """A script that does the same.

    Args:
        inversion: How the image was inverted.
        image: The image's file name.
        edit: The edit.
        editors: For each edit of its chain the settings.
        opened: Whether the inversion is one that was kept: who knows how it was made.
    """
    lines = ["import nulltext", "", f"model = nulltext.load({inversion.model!r})"]
    if opened:
        lines.append(f"inversion = nulltext.Inversion.load({_kept(image)!r})")
    else:
        lines.append(f"image = nulltext.open_image({image!r}, model{as_python(inversion)})")
        lines.append(f"inversion = {python(inversion.inverter)}(model, image, {inversion.prompt!r})")
    first, *rest = [_on_disk(editor, mask_name(step, len(editors))) for step, editor in enumerate(editors)]
    if isinstance(first, EditsEach) and rest:
        changes = [python(each.change) for each in (first, *rest) if isinstance(each, EditsEach)]
        pairs = [f"({prompt!r}, {change})" for prompt, change in zip(edit.prompts, changes, strict=True)]
        lines.append(f"edit = {python(first.run)}.each(model, inversion, [{', '.join(pairs)}])")
    else:
        lines.append(f"edit = {python(first)}(model, inversion, {edit.prompt!r})")
    lines.append('edit.images[-1].save("edited.png")')
    return "\n".join(lines)


def command_line(
    inversion: InversionRequest, image: str, edit: EditRequest, editors: Sequence[Editor], *, opened: bool
) -> str:
    """Commands that do the same; see `python_code`."""
    if any(editor != editors[0] for editor in editors):
        return "# The edits of this chain have different settings, which one command cannot say; see the Python."
    image = f"./{image}" if image.startswith("-") else image  # which would be taken for an option
    kept, lines = _kept(image), list[str]()
    if not opened:
        invert = ["nulltext", "invert", "--output", kept]
        invert += [] if inversion.model == "scenes" else ["--model", inversion.model]
        invert += ["--method", inversion.method, *argv(inversion.inverter)]
        lines.append(shlex.join([*invert, *as_options(inversion), "--", image, inversion.prompt]))
    draw = ["nulltext", "edit"] + ([] if edit.editor == EDITOR else ["--editor", edit.editor])
    draw += argv(_on_disk(editors[0], mask_name(0, len(editors))))
    draw += ["--output", "edited" if len(editors) > 1 else "edited.png"]
    return "\n".join([*lines, shlex.join([*draw, "--", kept, *edit.prompts])])


def mask_name(step: int, steps: int) -> str:
    """What the file is called in which the code expects the mask of a step of a chain of so many."""
    return "mask.png" if steps == 1 else f"mask-{step + 1}.png"


def _kept(image: str) -> str:
    """What the inversion of an image's file is called."""
    return f"{image.rsplit('.', 1)[0] or 'image'}.safetensors"


def _on_disk(editor: Editor, mask: str) -> Editor:
    """An editor whose mask is a file, as code can say it; what finds one is said as it is."""
    having = editor.blend if isinstance(editor, Change) else editor
    if not isinstance(having, HasMask) or having.mask is None or isinstance(having.mask, MaskSource):
        return editor
    filed: Any = replace(cast("Any", having), mask=Path(mask))
    return replace(editor, blend=filed) if isinstance(editor, Change) else filed
