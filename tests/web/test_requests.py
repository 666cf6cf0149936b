import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from nulltext import DDIM, Blend, DiffEditMask, DirectInversion, NullText, PromptToPrompt
from nulltext.cli.app import app as command
from nulltext.errors import EmptyPromptError, PromptTooLongError, SettingError, WordNotFoundError
from nulltext.models.recommended import Recommended
from nulltext.web.code import command_line, python_code
from nulltext.web.limits import Limits
from nulltext.web.requests import SHARES, STRENGTHS, EditRequest, InversionRequest

LIMITS = Limits(characters=60, prompts=3, steps=50, inner_steps=20)
EXPECTED = "a red ball on grass"
MASK = Image.new("L", (160, 128))
MASK.paste(255, (30, 20, 120, 110))


def test_the_inverter():
    def inverter(**settings):
        return InversionRequest(prompt=EXPECTED, **settings).inverter

    assert inverter() == DirectInversion(steps=50)
    assert inverter(steps=7, guidance=3.0) == DirectInversion(steps=7, guidance=3.0)
    assert inverter(method="ddim", steps=7) == DDIM(steps=7, guidance=1.0)
    assert inverter(method="ddim", guidance=2.0).guidance == 2
    assert inverter(method="null-text", steps=7, settings={"inner_steps": 3}) == NullText(
        steps=7, inner_steps=3, guidance=None
    )


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"prompt": ""}, EmptyPromptError, "empty"),
        ({"prompt": "\n\t "}, EmptyPromptError, "empty"),
        ({"prompt": "a" * 61}, PromptTooLongError, "61"),
        ({"steps": 0}, SettingError, "0 steps"),
        ({"steps": 51}, SettingError, "51 steps"),
        ({"method": "null-text", "settings": {"inner_steps": 21}}, SettingError, "21 optimiser"),
        ({"settings": {"inner_steps": 2}}, SettingError, "'inner_steps', which is no setting of DirectInversion"),
        ({"settings": {"fixed_point": {"iterations": 1001}}}, SettingError, "1001 iterations"),
        ({"settings": {"fixed_point": {"iterations": 1000}}, "steps": 50}, SettingError, "evaluations of the network"),
        ({"settings": {"steps": 2}}, SettingError, "steps among the settings"),
        ({"settings": "x"}, SettingError, "names with values"),
        ({"method": "magic"}, SettingError, "magic"),
        ({"guidance": 0.0}, SettingError, "0 for the guidance"),
        ({"guidance": -1.0}, SettingError, "guidance"),
        ({"guidance": 31.0}, SettingError, "guidance"),
        ({"guidance": float("nan")}, SettingError, "guidance"),
        ({"guidance": float("inf")}, SettingError, "guidance"),
        ({"fit": "stretch"}, SettingError, "stretch"),
        (
            {"method": "edit-friendly", "settings": {"source_guidance": 1e6}},
            SettingError,
            "source_guidance; expected m",
        ),
        ({"size": (0, 0)}, SettingError, "size=0x0; expected 8 to"),
        ({"size": (7, 64)}, SettingError, "size=7x64; expected 8 to"),
        ({"size": (100_000, 100_000)}, SettingError, "size=100000x100000; expected"),
    ],
)
def test_an_inversion_out_of_bounds(settings, error, named):
    InversionRequest(prompt=EXPECTED).check(LIMITS)
    with pytest.raises(error, match=named):
        InversionRequest(**{"prompt": EXPECTED, **settings}).check(LIMITS)


def test_the_plan_counts_evaluations():
    assert InversionRequest(prompt=EXPECTED, steps=10).plan == {"invert": 10}
    assert sum(InversionRequest(prompt=EXPECTED, method="ddim", steps=10).plan.values()) == 30
    plan = InversionRequest(prompt=EXPECTED, method="null-text", steps=10, settings={"inner_steps": 5}).plan
    assert list(plan) == ["invert", "optimise", "sample"]
    assert plan["optimise"] > 5 * plan["invert"]


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"prompt": " "}, EmptyPromptError, "empty"),
        ({"before": (EditRequest(prompt=""),)}, EmptyPromptError, "empty"),
        ({"prompt": "a" * 61}, PromptTooLongError, "61"),
        ({"before": (EditRequest(prompt="a" * 61),)}, PromptTooLongError, "61"),
        ({"before": (EditRequest(prompt="a"),) * 3}, SettingError, "4 edits"),
        ({"before": (EditRequest(prompt="a", cross=2),)}, SettingError, "composition"),
        ({"before": (EditRequest(prompt="a", weights={"a": 11.0}),)}, SettingError, "'a'"),
        ({"cross": 1.01}, SettingError, "composition"),
        ({"cross": float("nan")}, SettingError, "composition"),
        ({"self_share": -0.01}, SettingError, "layout"),
        ({"weights": {"ball": 11.0}}, SettingError, "'ball'"),
        ({"weights": {"ball": -5.0}}, SettingError, "'ball'"),
        ({"weights": {"ball": float("nan")}}, SettingError, "'ball'"),
        ({"weights": {"": 1.0}}, SettingError, "'' as one of the weights"),
        ({"blend_words": (" ",)}, SettingError, "' ' as one of the blend_words"),
        ({"vary": "colour"}, SettingError, "colour"),
        ({"editor": "sdedit", "settings": {"guidance": 31.0}}, SettingError, "31 for guidance; expected more than 0"),
        ({"settings": {"guidance": 1e308}}, SettingError, "1e\\+308 for guidance"),
        ({"editor": "magic"}, SettingError, "magic"),
        ({"editor": "sdedit", "cross": 0.5}, SettingError, "cross for sdedit"),
        ({"editor": "sdedit", "settings": {"kind": "refine"}}, SettingError, "no setting of SDEdit"),
        ({"editor": "text2live", "settings": {"iterations": 1001}}, SettingError, "1001 iterations"),
        ({"editor": "text2live", "settings": {"width": 257}}, SettingError, "257 width"),
        ({"editor": "text2live", "settings": {"screen_prompt": "{}" * 31}}, PromptTooLongError, "62"),
        ({"editor": "text2live", "settings": {"clip": "/etc"}}, SettingError, "no setting of Text2LIVE"),
        ({"settings": {"blend": {"mask": "/etc/passwd"}}}, SettingError, "no setting of Blend"),
        ({"editor": "sdedit", "mask": MASK}, SettingError, "mask for sdedit, which does not have it"),
        ({"editor": "sdedit", "mask_source": "diffedit"}, SettingError, "mask_source for sdedit, which does not"),
        ({"editor": "inpaint"}, SettingError, "no mask for inpaint; expected one"),
        ({"editor": "blended-diffusion", "settings": {"mask": "/etc"}, "mask": MASK}, SettingError, "no setting of B"),
        ({"mask_source": "magic"}, SettingError, "'magic' for what finds the mask; expected '', 'diffedit'"),
        ({"mask_source": "diffedit", "mask": MASK}, SettingError, "a mask, and diffedit to find one"),
        ({"settings": {"chain": True}}, SettingError, "chain among the settings"),
        ({"settings": {"cross_attention": 0.5}, "cross": 0.5}, SettingError, "cross_attention among"),
        ({"settings": {"blend": {"source": "a"}}, "blend_words": ("a",)}, SettingError, "places and a blend"),
        ({"vary": "layout", "before": (EditRequest(prompt="a"),)}, SettingError, "one of the two"),
    ],
)
def test_an_edit_out_of_bounds(settings, error, named):
    EditRequest(prompt=EXPECTED).check(LIMITS)
    with pytest.raises(error, match=named):
        EditRequest(**{"prompt": EXPECTED, **settings}).check(LIMITS)


@pytest.fixture
def tokens(model):
    return model.tokenize


def test_the_editor(tokens):
    def editor(**settings):
        return EditRequest(prompt="a blue cat", **settings).prompt_to_prompt(tokens("a red dog"), tokens("a blue cat"))

    assert editor() == PromptToPrompt()
    assert (editor(cross=0.2, self_share=0.3).cross_attention, editor(self_share=0.3).self_attention) == (0.2, 0.3)
    assert editor(weights={"cat": 2.0, "blue": 1}).reweight == {"cat": 2.0}
    blend = editor(blend_words=("dog", "cat", "a")).blend
    assert blend is not None
    assert (blend.source_words, blend.target_words, blend.mask) == (("dog", "a"), ("cat", "a"), None)
    with pytest.raises(WordNotFoundError, match="zebra"):
        editor(blend_words=("dog", "zebra"))
    mask = Image.new("L", (8, 8), 255)
    masked = editor(mask=mask).blend
    assert masked is not None
    assert masked.mask is mask
    assert masked.source_words == ()
    found = editor(mask_source="diffedit", blend_words=("cat",)).blend
    assert found == Blend([], ["cat"], mask=DiffEditMask())
    assert editor(mask_source="diffedit", settings={"blend": {"source": "dog"}}).blend == Blend(
        "dog", mask=DiffEditMask()
    )


def test_each_edit_of_a_chain_has_settings_of_its_own(tokens):
    source, *targets = map(tokens, ("a red ball on grass", "a blue ball on grass", "a blue cat on grass"))
    first = EditRequest(prompt=targets[0].prompt, cross=0.2, blend_words=("red", "blue"), weights={"blue": 2.0})
    asked = EditRequest(prompt=targets[1].prompt, before=(first,), blend_words=("ball", "cat"), mask=MASK)
    assert asked.chain == (first, replace(asked, before=()))
    assert asked.prompts == tuple(target.prompt for target in targets)
    assert asked.editors(source, targets) == [
        PromptToPrompt(cross_attention=0.2, reweight={"blue": 2.0}, blend=Blend(["red"], ["blue"]), chain=True),
        PromptToPrompt(blend=Blend(["ball"], ["cat"], mask=MASK), chain=True),
    ]
    assert first.editors(source, targets[:1]) == [first.prompt_to_prompt(source, targets[0])]
    with pytest.raises(WordNotFoundError, match="cat"):
        replace(asked, before=(replace(first, blend_words=("cat",)),)).editors(source, targets)


def test_variants():
    one = EditRequest(prompt="a blue ball", weights={"ball": 2.0})
    assert one.variants(["blue"]) == [one]

    def of(vary):
        return EditRequest(prompt="a blue ball", weights={"ball": 2.0}, vary=vary).variants(["blue"])

    assert [each.cross for each in of("composition")] == list(SHARES)
    assert [each.self_share for each in of("layout")] == list(SHARES)
    assert [each.weights for each in of("strength")] == [{"ball": 2.0, "blue": factor} for factor in STRENGTHS]
    assert {each.vary for vary in ("composition", "layout", "strength") for each in of(vary)} == {""}
    with pytest.raises(SettingError, match="no new word"):
        EditRequest(prompt=EXPECTED, vary="strength").variants([])


def test_the_summary():
    request = EditRequest(
        prompt="a cat", cross=0.25, weights={"cat": 2.0, "a": 1}, blend_words=("cat",), mask=Image.new("L", (1, 1))
    )
    assert request.summary == "a cat (composition 0.25; cat x2; only where cat; only inside the mask)"
    assert EditRequest(prompt="a cat", mask_source="diffedit").summary == "a cat (only where diffedit finds)"
    assert EditRequest(prompt="a cat").summary == "a cat"
    assert EditRequest(prompt="a cat").in_force(Recommended()).summary == "a cat (composition 0.8; layout 0.4)"


CASES = {
    "words": ("photo.png", {}, {"blend_words": ("cube", "blue")}),
    "new words": ("photo", {}, {"blend_words": ("blue",)}),
    "mask": ("it's a \"photo\" of $HOME.png", {}, {"mask": MASK}),
    "all settings": (
        "-photo.png",
        {"fit": "pad"},
        {
            "cross": 0.35, "self_share": 0.15, "weights": {"blue": 2.5, "cube": -1.0}, "mask": MASK,
            "blend_words": ("cube",),
        },
    ),
    "chain": ("photo.png", {"method": "ddim"}, {"before": {"blend_words": ("cube",)}, "blend_words": ("cube",)}),
    "chain of settings": (
        "photo.png",
        {},
        {"before": {"cross": 0.3, "blend_words": ("blue",), "mask": MASK}, "mask": ImageOps.mirror(MASK)},
    ),
    "settings": ("photo.png", {}, {"settings": {"kind": "refine", "most_tokens": 64}, "blend_words": ("cube",)}),
    "a mask that is found": ("photo.png", {}, {"mask_source": "diffedit"}),
    "an editor with a mask": (
        "photo.png", {}, {"editor": "blended-diffusion", "mask": MASK, "settings": {"strength": 1.0}},
    ),
    "another editor": ("photo.png", {}, {"editor": "sdedit", "settings": {"strength": 0.5, "seed": 3}}),
    "null-text": ("photo.png", {"method": "null-text", "settings": {"inner_steps": 2, "descent": {
        "learning_rate": 0.02,
        "decay": 0.01,
        "tolerance": 1e-5, "tolerance_growth": 2e-5}}, "guidance": 3.5, "size": (96, 160)}, {}),
}  # fmt: skip


@pytest.fixture
def make(workshop, person, sample, sample_prompt, loaded_once):
    """Inverts and edits as the page does."""

    def call(name, inversion, edit):
        blue, rest = sample_prompt.replace("white", "blue"), dict(edit)
        before, prompt = rest.pop("before", None), blue
        if before is not None:
            rest["before"], prompt = (EditRequest(prompt=blue, **before),), blue.replace("grass", "snow")
        job = workshop.invert(person, sample, name, InversionRequest(prompt=sample_prompt, steps=2, **inversion))
        assert job.wait(60)
        assert job.state == "done", job.message
        return made(workshop.edit(person, job.result, EditRequest(prompt=prompt, **rest)))

    return call


def made(job):
    assert job.wait(60)
    assert job.state == "done", job.message
    return job.result


@pytest.fixture
def fetch_masks():
    """Puts the masks where the page's downloads go."""

    def call(edited):
        for mask, name in edited.masks:
            mask.save(name)

    return call


def run(shell):
    for line in shell.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "nulltext"
        result = CliRunner().invoke(command, arguments, env={"COLUMNS": "120"})
        assert result.exit_code == 0, f"{line}\n{result.output}"


@pytest.mark.parametrize("case", CASES)
def test_the_code_and_the_commands_make_the_same_image(make, fetch_masks, sample, tmp_path, monkeypatch, case):
    name, *settings = CASES[case]
    edited = make(name, *settings)
    expected = edited.images[0]
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(sample)
    fetch_masks(edited)
    exec(compile(edited.python[0], "code", "exec"), {})  # noqa: S102  what the page shows to be run
    assert difference("edited.png", expected) <= 2
    if edited.shell[0].startswith("#"):
        assert case == "chain of settings"
        return
    Path("edited.png").unlink()
    run(edited.shell[0])
    written = sorted(tmp_path.glob("edited/*.png"), key=lambda path: path.stat().st_mtime_ns)
    assert difference(written[-1] if written else "edited.png", expected) <= 2


def test_the_command_of_a_chain_names_a_mask_that_can_be_had(make):
    edited = make("photo.png", {}, {"before": {"mask": MASK}, "mask": MASK})
    words = shlex.split(edited.shell[0])
    assert words[words.index("--mask") + 1] in [name for _, name in edited.masks]


def test_the_code_of_an_inversion_that_was_kept(
    workshop, person, sample, sample_prompt, tmp_path, monkeypatch, loaded_once
):
    """Who gives one may not have the image."""
    job = workshop.invert(person, sample, "photo.png", InversionRequest(prompt=sample_prompt, steps=2))
    data = workshop.people.path(person, made(job).number).read_bytes()
    opened = made(workshop.open_inversion(person, data, "-my photo.safetensors"))
    edited = made(workshop.edit(person, opened, EditRequest(prompt=sample_prompt.replace("white", "blue"))))
    monkeypatch.chdir(tmp_path)
    Path("-my photo.safetensors").write_bytes(data)
    exec(compile(edited.python[0], "code", "exec"), {})  # noqa: S102  what the page shows to be run
    assert difference("edited.png", edited.images[0]) <= 2
    Path("edited.png").unlink()
    assert len(edited.shell[0].splitlines()) == 1
    run(edited.shell[0])
    assert difference("edited.png", edited.images[0]) <= 2


def test_what_is_left_to_the_model_is_filled_in_where_it_is_shown(make):
    edited = make("photo.png", {}, {"before": {"self_share": 0.1}, "blend_words": ("cube",)})
    assert [(one.cross, one.self_share) for one in edited.requests[0].chain] == [(0.8, 0.1), (0.8, 0.8)]
    assert "(composition 0.8; layout 0.8; only where cube)" in edited.requests[0].summary
    for setting in ("cross_attention=0.8", "self_attention=0.1", "self_attention=0.8", "threshold=0.3"):
        assert setting in edited.python[0]


def test_an_edit_of_a_model_that_recommends_nothing():
    asked = EditRequest(prompt="a", before=(EditRequest(prompt="b", cross=0.3),), self_share=0.0)
    expected = EditRequest(
        prompt="a", before=(EditRequest(prompt="b", cross=0.3, self_share=0.4),), cross=0.8, self_share=0.0
    )
    assert asked.in_force(Recommended()) == expected


def difference(path, image):
    return np.abs(np.asarray(Image.open(path)).astype(int) - np.asarray(image)).max()


def test_names_and_prompts_cannot_leave_their_quotes():
    name, prompt = "a'; import os #\n.png", 'x" && rm -rf ~; `b` $(c)\n'
    asked, edit = InversionRequest(prompt=prompt), EditRequest(prompt=prompt)
    code = python_code(asked, name, edit, [PromptToPrompt()], opened=False)
    assert compile(code, "code", "exec")
    assert "\nimport os" not in code
    assert repr(name) in code
    lines = command_line(asked, name, edit, [PromptToPrompt()], opened=False)
    words = shlex.split(lines)
    assert name in words
    assert words.count(prompt) == 2
