"""Settings in one word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.rule import Rule
from nulltext.editing.blend import Blend
from nulltext.editing.mask_sources.diffedit import DiffEditMask
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import SettingError
from nulltext.inversion.methods.direct import DirectInversion
from nulltext.inversion.methods.null_text import NullText
from nulltext.spelling.compact import read_settings
from nulltext.spelling.options import assemble


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("self_attention=0.4", PromptToPrompt(self_attention=0.4)),
        ("self_attention=0.2-0.8,correct_source=true", PromptToPrompt(self_attention=(0.2, 0.8), correct_source=True)),
        ("cross_attention=0.8,cross_attention=ball=0.4", PromptToPrompt(cross_attention={"": 0.8, "ball": 0.4})),
        (
            "blend_source=cat,dog:tiger,blend_start=0.5",
            PromptToPrompt(blend=Blend(["cat", "dog"], ["tiger"], start=0.5)),
        ),
        ("blend_mask=diffedit,blend_pixels=false", PromptToPrompt(blend=Blend(mask=DiffEditMask(), pixels=False))),
        ("blend_mask=./a b.png", PromptToPrompt(blend=Blend(mask=Path("a b.png")))),
        (
            "rule_name=interval,rule_settings=start=0.25",
            PromptToPrompt(rule=Rule(name="interval", settings={"start": 0.25})),
        ),
        ("fixed_point=false", DirectInversion(fixed_point=None)),
        ("fixed_point=true,steps=20,solver=lbfgs", NullText(fixed_point=FixedPoint(), steps=20, solver="lbfgs")),
        ("descent=paper,fixed_point_tolerance=1e-3", replace(NullText.paper(), fixed_point=FixedPoint(tolerance=1e-3))),
    ],
)
def test_what_a_word_says(text, expected):
    assert assemble(type(expected), read_settings(type(expected), text, "it")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got '', which is no setting of null-text here; expected name=value, of steps, "),
        ("steps", "got 'steps', which is no setting"),
        ("inner_step=3", "got 'inner_step=3', which is no setting of null-text here; expected .*inner_steps"),
        ("steps=2,,", "got '2,,' for steps; expected a whole number"),
        ("steps=2.5", "got '2.5' for steps; expected a whole number"),
        ("steps=2,steps=3", "got steps of null-text twice"),
        ("descent_decay=much", "got 'much' for descent_decay; expected a number"),
        ("fixed_point=yes", "got 'yes' for fixed_point; expected true or false"),
        ("solver=sgd", "got 'sgd' for solver; expected adam or lbfgs"),
        ("guidance=3", "got 'guidance=3', which is no setting"),
    ],
)
def test_a_word_that_says_nothing(text, message):
    with pytest.raises(SettingError, match=message):
        read_settings(NullText, text, "null-text", without=("guidance",))


def test_names_that_somebody_else_reads():
    given: Any = read_settings(NullText, "blend=words,steps=3", "null-text", more=("blend",))
    assert given == {"blend": "words", "steps": 3}
    with pytest.raises(SettingError, match="blend of null-text twice"):
        read_settings(NullText, "blend=words,blend=words", "null-text", more=("blend",))
