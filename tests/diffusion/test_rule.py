"""Which rule guides, as editors hold it."""

import pytest
import torch

from nulltext import DDIM, NullText, PromptSwap, PromptToPrompt, Rule
from nulltext.diffusion.guidance import ClassifierFree, GuidanceRule
from nulltext.diffusion.rule import CLASSIFIER_FREE
from nulltext.diffusion.table import GUIDANCE
from nulltext.errors import MismatchError, SettingError
from nulltext.inversion import match
from nulltext.inversion.reconstruct import replay
from nulltext.inversion.replay import Replay
from nulltext.spelling.options import argv, assemble
from nulltext.spelling.records import read, record


@pytest.mark.parametrize("word", GUIDANCE)
def test_a_row_is_a_rule_that_takes_a_scale_for_all_rows_or_one_for_each(word):
    rule = Rule(name=word)
    for scale in (3.0, torch.tensor([1.0, 3.0])[:, None, None, None]):
        made = rule.at(scale)
        assert isinstance(made, GuidanceRule)
        assert type(made) is GUIDANCE[word].load()
        out = made(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2), 0, 1)
        assert torch.equal(out, torch.ones(2, 1, 2, 2) * scale)
    assert 10 < len(GUIDANCE[word].summary) <= 80


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"name": "magic"}, "got --guidance-rule 'magic'; expected classifier-free"),
        ({"settings": {"strength": 2.0}}, "got 'strength', which is no setting of ClassifierFree"),
        ({"settings": {"scale": 2.0}}, "got 'scale', which is no setting of ClassifierFree"),
    ],
)
def test_a_rule_or_a_setting_that_there_is_not(settings, named):
    with pytest.raises(SettingError, match=named):
        Rule(**settings)


@pytest.mark.parametrize("editor", [PromptSwap, PromptToPrompt])
def test_editors_take_one(editor):
    assert editor().rule == CLASSIFIER_FREE
    assert type(CLASSIFIER_FREE.at(2.0)) is ClassifierFree
    assert assemble(editor, {"rule_name": "classifier-free"}) == editor()
    assert argv(editor(rule=Rule())) == []
    assert read(editor, record(editor())) == editor()
    assert record(editor())["rule"] == {"name": "classifier-free", "settings": {}}


def test_embeddings_that_lead_the_source_back_bind_the_rule(model, source_image):
    other = Rule()
    object.__setattr__(other, "name", "another")
    nulled = NullText(steps=1, inner_steps=1)(model, source_image, "a red ball")
    with pytest.raises(MismatchError, match="'another'; the embeddings of this inversion were made for 'classifier"):
        replay(model, nulled, rule=other)
    match.check_rule(nulled.replay, CLASSIFIER_FREE)
    match.check_rule(Replay(nulls=nulled.replay.nulls, corrected="source"), other)
    match.check_rule(DDIM(steps=1)(model, source_image, "a red ball").replay, other)
