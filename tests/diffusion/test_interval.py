"""Guidance in an interval of the steps, alone and as editors take it."""

from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from nulltext import (
    BlendedDiffusion,
    DirectInversion,
    FromNoise,
    Inpaint,
    MasaCtrl,
    NullText,
    PromptSwap,
    PromptToPrompt,
    Rule,
    SDEdit,
    TextDiff,
    open_image,
)
from nulltext.bench.cost import measured
from nulltext.cli.app import app
from nulltext.diffusion.guidance import guide
from nulltext.diffusion.rules.interval import IntervalGuidance
from nulltext.editing.table import EDITORS as TABLE
from nulltext.errors import MismatchError, SettingError
from nulltext.spelling.options import argv, assemble
from nulltext.spelling.records import read, record
from nulltext.tables import word_of

PROMPT, TARGET = "a red ball on grass", "a dog on grass"
MIDDLE = Rule(name="interval", settings={"start": 0.25, "end": 0.75})
ALL = [PromptSwap(), PromptToPrompt(), MasaCtrl(), SDEdit(strength=1.0), FromNoise()]
EDITORS = pytest.mark.parametrize("editor", ALL, ids=lambda editor: word_of(TABLE, type(editor).__name__))


WHITE = BlendedDiffusion(mask=Image.new("L", (96, 80), 255), strength=1.0, paste=False)
SAMPLERS = pytest.mark.parametrize("editor", [*ALL, WHITE], ids=lambda editor: word_of(TABLE, type(editor).__name__))


def test_all_that_guide_take_a_rule():
    guiding = {entry.load() for entry in TABLE.values() if "guidance" in {each.name for each in fields(entry.load())}}
    taking = {entry.load() for entry in TABLE.values() if "rule" in {each.name for each in fields(entry.load())}}
    assert taking == {*map(type, ALL), BlendedDiffusion, Inpaint}
    assert guiding - taking == {TextDiff}, "whose gradient is no step of a sampler"


@pytest.fixture(scope="module")
def inversion(model, source_image):
    return DirectInversion(steps=4, guidance=4.0)(model, source_image, PROMPT)


def test_it_guides_within_the_interval_alone():
    null, cond = torch.randn(2, 1, 2, 2), torch.randn(2, 1, 2, 2)
    rule = IntervalGuidance(scale=7.5, start=0.25, end=0.75)
    for step in range(4):
        within = step in {1, 2}
        assert rule.needs_null(step, 4) == within
        assert torch.equal(rule(null, cond, step, 4), guide(null, cond, 7.5) if within else cond)
    assert not any(IntervalGuidance(scale=1.0).needs_null(step, 4) for step in range(4))
    assert not any(IntervalGuidance(scale=3.0, start=0.5, end=0.5).needs_null(step, 4) for step in range(4))
    scales = torch.tensor([1.0, 3.0])[:, None, None, None]
    assert torch.equal(IntervalGuidance(scale=scales)(null, cond, 0, 4), guide(null, cond, scales))


@SAMPLERS
def test_an_interval_of_all_steps_is_plain_guidance(model, inversion, editor):
    every = replace(editor, rule=Rule(name="interval"))
    edits = [each(model, inversion, [TARGET, "a cat on grass"]) for each in (editor, every)]
    assert torch.equal(edits[0].pixels, edits[1].pixels)
    assert torch.equal(edits[0].source, edits[1].source)


@SAMPLERS
def test_an_interval_of_no_steps_is_guidance_at_1(model, inversion, editor):
    none = replace(editor, rule=Rule(name="interval", settings={"end": 0.0}))
    single = replace(editor, guidance=1.0)(model, inversion, TARGET)
    assert torch.equal(none(model, inversion, TARGET).pixels, single.pixels)


@SAMPLERS
def test_outside_the_interval_the_null_rows_are_not_computed(model, inversion, editor):
    middle = replace(editor, rule=MIDDLE)
    edit, cost = measured(model, partial(middle, model, inversion, TARGET))
    rows = (
        1 if isinstance(editor, (SDEdit, FromNoise, BlendedDiffusion)) else 2
    )  # most sample the source beside the edit
    assert cost.forwards == rows * (1 + 2 + 2 + 1)
    plain, cost = measured(model, partial(editor, model, inversion, TARGET))
    assert cost.forwards == rows * 4 * 2
    assert (edit.pixels - plain.pixels).abs().max() > 1e-3
    assert torch.equal(edit.source, plain.source)
    assert edit.settings[0].rule == MIDDLE, "what was in force is recorded"


@EDITORS
def test_it_is_spelled_as_options_and_in_records(editor):
    middle = replace(editor, rule=MIDDLE)
    words = ["--guidance-rule", "interval", "--guidance-setting", "start=0.25", "--guidance-setting", "end=0.75"]
    own = {"strength": 1.0} if isinstance(editor, SDEdit) else {}
    assert argv(middle) == [*argv(editor), *words]
    given = {"rule_name": "interval", "rule_settings": ["start=0.25", "end=0.75"]}
    assert assemble(type(editor), given | own) == middle
    assert record(middle)["rule"] == {"name": "interval", "settings": {"start": 0.25, "end": 0.75}}
    assert read(type(editor), record(middle)) == middle


def test_the_command_line_takes_it(embedded, image, loaded_once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = DirectInversion(steps=2)(embedded, open_image(image, embedded), "a red ball")
    source.save("a.safetensors")
    edit = ("edit", "a.safetensors", "a blue ball", "--editor", "prompt-swap", "-o", "b.png")
    edit += ("--guidance-rule", "interval", "--guidance-setting")
    result = CliRunner().invoke(app, (*edit, "start=0.5"))
    assert result.exit_code == 0, result.output
    late = PromptSwap(rule=Rule(name="interval", settings={"start": 0.5}))(embedded, source, "a blue ball")
    assert Image.open("b.png").tobytes() == late.image.tobytes()
    refused = CliRunner().invoke(app, (*edit, "begin=0.5", "--force"))
    assert refused.exit_code == 2
    assert "got 'begin', which is no setting of IntervalGuidance; expected start, end" in refused.output


def test_with_embeddings_of_another_guidance_the_source_has_to_be_held(model, source_image):
    nulled = NullText(steps=2, inner_steps=1)(model, source_image, PROMPT)
    with pytest.raises(MismatchError, match="'interval'"):
        PromptSwap(rule=MIDDLE)(model, nulled, TARGET)
    corrected = PromptToPrompt(rule=MIDDLE, correct_source=True)(model, nulled, TARGET)
    torch.testing.assert_close(corrected.source, model.decode(nulled.pivot[-1:]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"start": 0.6, "end": 0.4}, "start=0.6 and end=0.4; expected start <= end"), ({"end": 1.5}, "'end'")],
)
def test_settings_out_of_range(settings, named):
    with pytest.raises(SettingError, match=named):
        Rule(name="interval", settings=settings)
    with pytest.raises(SettingError):
        IntervalGuidance(**settings)
