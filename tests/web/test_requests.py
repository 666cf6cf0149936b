import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nulltext import DDIM, Blend, DirectInversion, NullText, PromptToPrompt
from nulltext.cli.app import app as command
from nulltext.errors import CaptionTooLongError, EmptyCaptionError, SettingError
from nulltext.web.limits import Limits
from nulltext.web.requests import SHARES, STRENGTHS, EditRequest, InversionRequest, command_line, python_code

LIMITS = Limits(characters=60, captions=3, steps=50, inner_steps=20)
SAID = "a red ball on grass"


def test_the_inverter():
    def inverter(**settings):
        return InversionRequest(caption=SAID, **settings).inverter

    assert inverter() == DirectInversion(steps=50)
    assert inverter(steps=7, guidance=3.0) == DirectInversion(steps=7, guidance=3.0)
    assert inverter(method="ddim", steps=7) == DDIM(steps=7, guidance=1.0)
    assert inverter(method="ddim", guidance=2.0).guidance == 2
    assert inverter(method="null-text", steps=7, inner_steps=3) == NullText(steps=7, inner_steps=3, guidance=None)


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"caption": ""}, EmptyCaptionError, "empty"),
        ({"caption": "\n\t "}, EmptyCaptionError, "empty"),
        ({"caption": "a" * 61}, CaptionTooLongError, "61"),
        ({"steps": 0}, SettingError, "0 steps"),
        ({"steps": 51}, SettingError, "51 steps"),
        ({"inner_steps": 21}, SettingError, "21 optimiser"),
        ({"method": "magic"}, SettingError, "magic"),
        ({"guidance": 0.0}, SettingError, "guidance 0"),
        ({"guidance": -1.0}, SettingError, "guidance"),
        ({"guidance": 31.0}, SettingError, "guidance"),
        ({"guidance": float("nan")}, SettingError, "guidance"),
        ({"guidance": float("inf")}, SettingError, "guidance"),
        ({"fit": "stretch"}, SettingError, "stretch"),
    ],
)
def test_an_inversion_out_of_bounds(settings, error, named):
    InversionRequest(caption=SAID).check(LIMITS)
    with pytest.raises(error, match=named):
        InversionRequest(**{"caption": SAID, **settings}).check(LIMITS)


def test_the_plan_counts_evaluations():
    assert InversionRequest(caption=SAID, steps=10).plan == {"invert": 10}
    assert sum(InversionRequest(caption=SAID, method="ddim", steps=10).plan.values()) == 20
    plan = InversionRequest(caption=SAID, method="null-text", steps=10, inner_steps=5).plan
    assert list(plan) == ["invert", "optimise"]
    assert plan["optimise"] > 5 * plan["invert"]


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"caption": " "}, EmptyCaptionError, "empty"),
        ({"before": ("",)}, EmptyCaptionError, "empty"),
        ({"caption": "a" * 61}, CaptionTooLongError, "61"),
        ({"before": ("a" * 61,)}, CaptionTooLongError, "61"),
        ({"before": ("a",) * 3}, SettingError, "4 edits"),
        ({"cross": 1.01}, SettingError, "composition"),
        ({"cross": float("nan")}, SettingError, "composition"),
        ({"self_share": -0.01}, SettingError, "layout"),
        ({"weights": {"ball": 11.0}}, SettingError, "'ball'"),
        ({"weights": {"ball": -5.0}}, SettingError, "'ball'"),
        ({"weights": {"ball": float("nan")}}, SettingError, "'ball'"),
        ({"vary": "colour"}, SettingError, "colour"),
        ({"vary": "layout", "before": ("a",)}, SettingError, "one of the two"),
    ],
)
def test_an_edit_out_of_bounds(settings, error, named):
    EditRequest(caption=SAID).check(LIMITS)
    with pytest.raises(error, match=named):
        EditRequest(**{"caption": SAID, **settings}).check(LIMITS)


@pytest.fixture
def tokens(model):
    return model.tokenize


def test_the_editor(tokens):
    def editor(**settings):
        return EditRequest(caption="a blue cat", **settings).editor(tokens("a red dog"), [tokens("a blue cat")])

    assert editor() == PromptToPrompt()
    assert (editor(cross=0.2, self_share=0.3).cross_attention, editor(self_share=0.3).self_attention) == (0.2, 0.3)
    assert editor(weights={"cat": 2.0, "blue": 1}).reweight == {"cat": 2.0}
    assert editor(before=("a cat",)).chain
    blend = editor(places=("dog", "cat", "a", "zebra")).blend
    assert (blend.source_words, blend.target_words, blend.mask) == (("dog", "a"), ("cat", "a"), None)
    assert editor(places=("zebra",)).blend is None
    mask = Image.new("L", (8, 8), 255)
    assert editor(mask=mask).blend.mask is mask
    assert editor(mask=mask).blend.source_words == ()


def test_places_of_an_edit_that_goes_on(tokens):
    """A word that the edits before lack cannot say where they may change."""
    source, before, after = tokens("a red ball on grass"), tokens("a blue ball on grass"), tokens("a blue cat on grass")
    asked = EditRequest(caption=after.caption, before=(before.caption,), places=("ball", "cat"))
    assert asked.editor(source, [before, after]).blend == Blend(["ball"], ["ball", "cat"])
    asked = EditRequest(caption=after.caption, before=(before.caption,), places=("red", "cat"))
    assert asked.editor(source, [before, after]).blend == Blend(["red"], [])
    with pytest.raises(SettingError, match="cat"):
        EditRequest(caption=after.caption, before=(before.caption,), places=("cat",)).editor(source, [before, after])


def test_variants():
    one = EditRequest(caption="a blue ball", weights={"ball": 2.0})
    assert one.variants(["blue"]) == [one]

    def of(vary):
        return EditRequest(caption="a blue ball", weights={"ball": 2.0}, vary=vary).variants(["blue"])

    assert [each.cross for each in of("composition")] == list(SHARES)
    assert [each.self_share for each in of("layout")] == list(SHARES)
    assert [each.weights for each in of("strength")] == [{"ball": 2.0, "blue": factor} for factor in STRENGTHS]
    assert {each.vary for vary in ("composition", "layout", "strength") for each in of(vary)} == {""}
    with pytest.raises(SettingError, match="no new word"):
        EditRequest(caption=SAID, vary="strength").variants([])


def test_the_summary():
    request = EditRequest(
        caption="a cat", cross=0.25, weights={"cat": 2.0, "a": 1}, places=("cat",), mask=Image.new("L", (1, 1))
    )
    assert request.summary == "a cat (composition 0.25; layout 0.8; cat x2; only where cat; only inside the mask)"
    assert EditRequest(caption="a cat").summary == "a cat (composition 0.8; layout 0.8)"


MASK = Image.new("L", (160, 128))
MASK.paste(255, (30, 20, 120, 110))
CASES = {
    "words": ("photo.png", {}, {"places": ("cube", "blue")}),
    "new words": ("photo", {}, {"places": ("blue",)}),
    "mask": ("it's a \"photo\" of $HOME.png", {}, {"mask": MASK}),
    "all settings": (
        "-photo.png",
        {"fit": "pad"},
        {
            "cross": 0.35, "self_share": 0.15, "weights": {"blue": 2.5, "cube": -1.0}, "mask": MASK,
            "places": ("cube",),
        },
    ),
    "chain": ("photo.png", {"method": "ddim"}, {"before": True, "mask": MASK, "places": ("cube", "snow")}),
    "null-text": ("photo.png", {"method": "null-text", "inner_steps": 2, "guidance": 3.5}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_code_and_the_commands_make_the_same_picture(workshop, person, sample, said, tmp_path, monkeypatch, case):
    name, inversion, edit = CASES[case]
    blue = said.replace("white", "blue")
    if "before" in edit:
        edit = {**edit, "before": (blue,), "caption": blue.replace("grass", "snow")}
    job = workshop.invert(person, sample, name, InversionRequest(caption=said, steps=2, **inversion))
    assert job.wait(60)
    made = workshop.edit(person, job.result, EditRequest(**{"caption": blue, **edit}))
    assert made.wait(60)
    assert made.state == "done", made.message
    expected = made.result.pictures[0]

    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(sample)
    if "mask" in edit:
        edit["mask"].save("mask.png")
    exec(compile(made.result.python[0], "code", "exec"), {})  # noqa: S102  what the page shows to be run
    assert difference("edited.png", expected) <= 2
    (tmp_path / "edited.png").unlink()

    for line in made.result.shell[0].splitlines():
        program, *arguments = shlex.split(line)
        assert program == "nulltext"
        result = CliRunner().invoke(command, arguments, env={"COLUMNS": "120"})
        assert result.exit_code == 0, f"{line}\n{result.output}"
    written = sorted(tmp_path.glob("edited/*.png"), key=lambda path: path.stat().st_mtime_ns)
    assert difference(written[-1] if written else "edited.png", expected) <= 2


def difference(path, picture):
    return np.abs(np.asarray(Image.open(path)).astype(int) - np.asarray(picture)).max()


def test_names_and_captions_cannot_leave_their_quotes():
    name, caption = "a'; import os #\n.png", 'x" && rm -rf ~; `b` $(c)\n'
    asked, edit = InversionRequest(caption=caption), EditRequest(caption=caption)
    code = python_code(asked, name, edit, PromptToPrompt())
    assert compile(code, "code", "exec")
    assert "\nimport os" not in code
    assert repr(name) in code
    lines = command_line(asked, name, edit, PromptToPrompt())
    words = shlex.split(lines)
    assert name in words
    assert words.count(caption) == 2
