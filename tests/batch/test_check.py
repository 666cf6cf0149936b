"""The dry run: whatever is known to be wrong before the network is asked is said, and nothing is computed."""

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from nulltext.batch.check import Fault, check
from nulltext.batch.manifest import rows_of
from nulltext.editing.methods.inpaint import Inpaint
from nulltext.editing.methods.sdedit import SDEdit
from nulltext.inversion.methods.null_text import NullText
from nulltext.models.latent_model import LatentModel

PROMPT, EDIT = "a red ball", "a blue ball"


def faults(rows: list[dict[str, Any]], plan: Any, model: Any) -> list[Fault | None]:
    return list(check(rows_of(rows), plan, model))


def test_nothing_is_computed(plan, model, photos, monkeypatch):
    for name in ("predict", "embed", "encode", "decode"):
        monkeypatch.setattr(LatentModel, name, lambda *_: pytest.fail("it was asked to compute"))
    rows = [{"image": str(path), "prompt": PROMPT, "edit": [EDIT, "a cat"], "blend": "ball:"} for path in photos(2)]
    for inverter in (plan.inverter, NullText(steps=2)):
        for editor in (plan.editor, SDEdit()):
            known = replace(plan, inverter=inverter, editor=editor)
            few = rows if editor is plan.editor else [{**row, "blend": ""} for row in rows]
            assert faults(few, known, model) == [None, None]


@pytest.mark.parametrize(
    ("more", "edit", "said"),
    [
        ({"blend": "elephant:"}, 1, "edit 1: the word 'elephant' is not in"),
        ({"blend": "ball:elephant"}, 1, "edit 1: the word 'elephant' is not in"),
        ({"weight": "elephant=2"}, 1, "edit 1: the word 'elephant' is not in"),
        ({"edit": [EDIT, "word " * 99]}, 2, "edit 2: "),
        ({"edit": [EDIT, "a big ball on grass"], "kind": "replace"}, 2, "edit 2: got kind='replace'"),
        ({"steps": "99999"}, 0, "steps"),
        ({"method": "null-text", "editor.negative_prompt": "a cat"}, 1, "edit 1: got the negative prompt"),
        ({"mask": "narrow"}, 0, "mask"),
        ({"mask": "black"}, 1, "edit 1: "),
        ({"editor": "inpaint", "mask": "white"}, 1, "edit 1: "),
        ({"prompt": " "}, 0, "prompt"),
    ],
    ids=str,
)
def test_what_would_fail_later_is_said(more, edit, said, plan, model, photos, tmp_path):
    (path,) = photos(1)
    for name, size, colour in (("narrow", (7, 99), 255), ("black", (40, 48), 0), ("white", (40, 48), 255)):
        Image.new("L", size, colour).save(tmp_path / f"{name}.png")
    row = {"image": str(path), "prompt": PROMPT, "edit": EDIT, **more}
    if row.get("mask"):
        row["mask"] = str(tmp_path / f"{row['mask']}.png")
    (fault,) = faults([row], plan, model)
    assert fault is not None
    assert (fault.edit, fault.reason.lower().find(said) >= 0) == (edit, True), fault


def test_inpainting_needs_its_own_checkpoint(plan, model, photos):
    (path,) = photos(1)
    known = replace(plan, editor=Inpaint())
    assert faults([{"image": str(path), "prompt": PROMPT, "edit": EDIT}], known, model) != [None]
