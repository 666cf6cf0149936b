"""Plans: what a row says of method and editor, what its images are called, and what a change of either does to keys."""

import os
from dataclasses import replace
from typing import Any

import pytest

from nulltext.batch.plan import Plan
from nulltext.batch.row import Row
from nulltext.editing.methods.sdedit import SDEdit
from nulltext.errors import NulltextError, SettingError
from nulltext.inversion.methods.edit_friendly import EditFriendly
from nulltext.inversion.methods.null_text import NullText

ROW = Row(number=1, id="one", image="a.png", prompt="a cat", edits=("a dog",))


def test_a_row_changes_settings_by_name():
    given = {"steps": "12", "editor.guidance": 3, "blend": "cat:dog", "threshold": "0.4", "weight": "dog=2"}
    job: Any = Plan().job(replace(ROW, settings=given))
    assert (job.inverter.steps, job.inverter.guidance) == (12, None)
    assert job.editor.guidance == 3
    assert (job.editor.blend.source, job.editor.blend.target, job.editor.blend.threshold) == (["cat"], ["dog"], 0.4)
    assert job.editor.reweight == {"dog": 2.0}


def test_a_row_chooses_its_methods():
    job: Any = Plan().job(
        replace(ROW, settings={"method": "null-text", "inner_steps": 3, "editor": "sdedit", "seed": 5})
    )
    assert job.inverter == NullText(inner_steps=3)
    assert job.editor == SDEdit(seed=5)


def test_a_seed_is_that_of_method_and_editor():
    job: Any = Plan(inverter=EditFriendly(), editor=SDEdit()).job(replace(ROW, settings={"seed": "7"}))
    assert (job.inverter.seed, job.editor.seed) == (7, 7)


@pytest.mark.parametrize(
    "change",
    [
        {"image": ""},
        {"edits": ()},
        {"fault": "it is no JSON"},
        {"id": "../../outside"},
        {"id": "/etc/passwd"},
        {"id": "a\nb"},
        {"id": "x" * 300},
        {"size": "big"},
        {"size": "0x99999999"},
        {"settings": {"stpes": "12"}},
        {"settings": {"steps": "many"}},
        {"settings": {"steps": -1}},
        {"settings": {"steps": None, "method": "magic"}},
        {"settings": {"method": 7}},
        {"settings": {"editor": "text2live"}, "mask": "mask.png"},
    ],
    ids=str,
)
def test_a_row_that_makes_no_sense_is_refused(change):
    with pytest.raises(NulltextError):
        Plan().job(replace(ROW, **change))


@pytest.mark.parametrize(
    ("pattern", "edits", "names"),
    [
        ("{id}", 1, ["images/one.png"]),
        ("{id}", 2, ["images/one-1.png", "images/one-2.png"]),
        ("{edit}/{stem}", 2, ["images/1/a.png", "images/2/a.png"]),
        ("{number:05d}", 1, ["images/00001.png"]),
    ],
)
def test_names_follow_the_pattern(pattern, edits, names):
    assert list(Plan(name=pattern).job(replace(ROW, edits=("a dog",) * edits)).outputs) == names


@pytest.mark.parametrize(
    "change", [{"name": "{x}"}, {"name": "{"}, {"format": "tga"}, {"fit": "squash"}, {"size": "1"}]
)
def test_a_plan_that_makes_no_sense_is_refused(change):
    with pytest.raises(SettingError):
        Plan(**change)


def test_keys_do_not_depend_on_how_a_manifest_writes_a_number():
    """A table whose column of whole numbers has gaps holds 3.0 where a text says 3."""
    written = [{"steps": "3", "cross": 1}, {"steps": 3, "cross": "1.0"}, {"steps": 3.0, "cross": 1.0}]
    assert len({Plan().keys(replace(ROW, settings=settings), "some weights") for settings in written}) == 1
    assert Plan().keys(ROW, "some weights") != Plan().keys(replace(ROW, settings=written[0]), "some weights")


def test_keys_change_with_whatever_an_image_depends_on(tmp_path):
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    for path in (photo, mask):
        path.write_bytes(b"1")
    row, plan = replace(ROW, image=str(photo), mask=str(mask)), Plan()
    (key,) = plan.keys(row, "weights")
    other = {
        "prompt": plan.keys(replace(row, prompt="a lion"), "weights"),
        "edit": plan.keys(replace(row, edits=("a lion",)), "weights"),
        "setting": plan.keys(replace(row, settings={"steps": "9"}), "weights"),
        "size": plan.keys(replace(row, size="64x64"), "weights"),
        "weights": plan.keys(row, "others"),
        "method": Plan(inverter=NullText()).keys(row, "weights"),
        "format": Plan(format="jpeg").keys(row, "weights"),
    }
    assert len({key, *(one for (one,) in other.values())}) == len(other) + 1
    assert plan.keys(replace(row, number=99), "weights") == (key,)
    assert Plan(at_once=3).keys(row, "weights") == (key,)
    for path in (photo, mask):
        os.utime(path, ns=(1, 1))
        assert plan.keys(row, "weights") != (key,)
        (key,) = plan.keys(row, "weights")
