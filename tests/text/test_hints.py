import warnings

import pytest

import nulltext
from nulltext.text.hints import PromptHint, hint_of


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("a (red ball:1.3) on grass", "red ball"),
        ("a (cat: 0.8 ), blurry", "cat"),
        ("((masterpiece)), a cat", "masterpiece"),
        ("a [dog] on grass", "dog"),
        ("a [cat:dog:0.5]", "cat:dog"),
    ],
)
def test_weights_of_other_programs_are_named_with_the_way_here(prompt, word):
    assert f"say --weight '{word}=1.3', in Python PromptToPrompt(reweight={{'{word}': 1.3}})." in hint_of(prompt)
    assert hint_of(prompt).count(". ") == 0  # one sentence


@pytest.mark.parametrize("prompt", ["a cat (red) on grass", "at 12:30 (or so)", "a smile :)", "a [] b", "", "a (b: c)"])
def test_nothing_is_said_of_brackets_as_people_write_them(prompt):
    assert hint_of(prompt) == ""


def test_python_warns_whoever_reads_the_prompt(model, source_image):
    prompt = "a (cat:1.2)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        inversion = nulltext.DDIM(steps=1, negative_prompt="[dog]")(model, source_image, prompt)
        nulltext.PromptSwap()(model, inversion, prompt)
    said = list(dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, PromptHint)))
    assert len(said) == 2
    assert "--weight 'cat=1.3'" in said[0]
    assert "--weight 'dog=1.3'" in said[1]
