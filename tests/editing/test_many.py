"""Edits of many photographs in one batch of the network."""

import inspect

import pytest
import torch
from PIL import Image

import nulltext
from nulltext import (
    DDIM,
    VQGANCLIP,
    Blend,
    DirectInversion,
    FromNoise,
    NullText,
    PromptSwap,
    PromptToPrompt,
    SDEdit,
    Text2LIVE,
    TextualInversion,
    edit_many,
)
from nulltext.attention.sites import attention_modules
from nulltext.errors import (
    Cancelled,
    EmptyMaskError,
    ImagesFailedError,
    MismatchError,
    PromptError,
    SettingError,
    WordNotFoundError,
)

PROMPT = "a cat on grass"


@pytest.fixture(scope="module")
def inversions(model, source_image):
    methods = (
        NullText(steps=3, inner_steps=1, guidance=3.0),
        DirectInversion(steps=3, guidance=4.0),
        DDIM(steps=3),
        TextualInversion(steps=3, inner_steps=1, guidance=3.0),
    )
    return [method(model, source_image, PROMPT) for method in methods]


@pytest.fixture
def batches(model):
    """The rows of every batch that the network is given."""
    seen = []
    handle = model.denoiser.register_forward_hook(lambda _, __, output: seen.append(len(output.sample)))
    yield seen
    handle.remove()


def processors(model):
    return [module.processor for module in attention_modules(model.denoiser).values()]


def jobs_of(inversions, clip):
    nulled, direct, ddim, textual = inversions
    half = Image.new("L", (96, 80))
    half.paste(255, (0, 0, 48, 80))
    return [
        (PromptToPrompt(), nulled, "a dog on grass"),
        (PromptToPrompt(kind="refine", self_attention=0.0, guidance=2.0), direct, ["a red cat on grass", PROMPT]),
        (PromptSwap(guidance=5.0), ddim, "a dog on grass"),
        (PromptToPrompt(blend=Blend("cat", "dog", threshold=0.1, mask=half), maps=True), textual, "a dog on grass"),
        (PromptToPrompt(reweight={"dog": 3.0}, correct_source=True), nulled, "a dog on grass"),
        (PromptToPrompt(cross_attention=0.0, self_attention=0.0), direct, "a dog on grass"),
        (SDEdit(strength=0.7), ddim, "a dog"),
        (FromNoise(seed=3), nulled, ["a dog", "a ball"]),
        (VQGANCLIP(iterations=1, cutouts=2, clip=clip), ddim, "a dog"),
        (Text2LIVE(iterations=1, views=2, width=8, clip=clip), direct, "a dog"),
        (PromptToPrompt(chain=True, blend=Blend("cat")), direct, ["a dog on grass", "a red dog on grass"]),
    ]


def same(one, other):
    assert (one.prompts, one.kinds, one.settings) == (other.prompts, other.kinds, other.settings)
    for name in ("pixels", "source", "masks"):
        mine, others = getattr(one, name), getattr(other, name)
        assert (mine is None) == (others is None)
        if mine is not None:
            torch.testing.assert_close(mine, others, rtol=0, atol=1e-4)
    assert (one.maps is None) == (other.maps is None)
    if one.maps is not None:
        torch.testing.assert_close(one.maps.maps, other.maps.maps, rtol=0, atol=1e-4)


def test_each_is_what_it_is_alone_and_batches_are_shared(model, inversions, clip, batches):
    jobs, before = jobs_of(inversions, clip), processors(model)
    single = [editor(model, inversion, prompts) for editor, inversion, prompts in jobs]
    rows, passes = sum(batches), len(batches)
    batches.clear()
    batched = dict(edit_many(model, jobs, at_once=len(jobs)))
    assert sorted(batched) == list(range(len(jobs)))
    for index, edit in batched.items():
        same(edit, single[index])
    assert sum(batches) == rows, "none is asked twice, and none for nothing"
    assert len(batches) == 3, "all of a step in one batch"
    assert passes > 20
    assert all(a is b for a, b in zip(processors(model), before, strict=True))


def test_progress_says_which_edit(model, inversions):
    events = []
    jobs = [(PromptSwap(), inversions[0], "a dog"), (PromptToPrompt(), inversions[1], "a dog on grass")]
    list(edit_many(model, iter(jobs), at_once=1, on_progress=events.append))
    assert [(event.image, event.step) for event in events] == [(job, step) for job in (1, 2) for step in (1, 2, 3)]


WRONG = {
    "prompt": (PromptSwap(), 0, " ", PromptError),
    "word": (PromptToPrompt(reweight={"tiger": 2.0}), 0, "a dog", WordNotFoundError),
    "mask": (PromptToPrompt(blend=Blend("cat", "dog", keep_out=("cat", "dog"))), 0, "a dog on grass", EmptyMaskError),
    "settings": (PromptToPrompt(kind="replace"), 0, "a dog", SettingError),
    "guidance": (PromptSwap(guidance=9.0), 0, "a dog", MismatchError),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_bad_edit_stops_no_other(model, inversions, wrong):
    editor, which, prompt, kind = WRONG[wrong]
    good = (PromptToPrompt(), inversions[1], "a dog on grass")
    jobs = [good, (editor, inversions[which], prompt), (PromptSwap(), inversions[2], "a dog")]
    before = processors(model)
    made = dict(edit_many(model, jobs, errors="return"))
    assert isinstance(made[1], kind)
    for index in (0, 2):
        same(made[index], jobs[index][0](model, *jobs[index][1:]))
    with pytest.raises(ImagesFailedError, match=r"1 could not be edited.*number 1") as caught:
        list(edit_many(model, iter(jobs)))
    assert sorted(caught.value.results) == [0, 2]
    assert all(a is b for a, b in zip(processors(model), before, strict=True))


def test_what_is_wrong_with_a_list_is_known_before_any_work(model, inversions, folder):
    events = []
    other = nulltext.load(folder("v_prediction"), device="cpu")
    with pytest.raises(ImagesFailedError, match=r"number 0, PromptError|number 0, EmptyPromptError") as caught:
        edit_many(model, [(PromptSwap(), inversions[0], [])], on_progress=events.append)
    assert caught.value.results == {}
    with pytest.raises(ImagesFailedError, match="MismatchError: got the model v_prediction"):
        edit_many(other, [(PromptSwap(), inversions[0], "a dog")], on_progress=events.append)
    assert events == []


def test_a_callback_that_raises_closes_all(model, inversions):
    before = processors(model)

    def stop(event):
        if event.step == 2:
            raise Cancelled

    jobs = [(PromptToPrompt(), inversion, "a dog on grass") for inversion in inversions]
    with pytest.raises(Cancelled):
        list(edit_many(model, jobs, on_progress=stop))
    assert all(a is b for a, b in zip(processors(model), before, strict=True))
    same(PromptToPrompt()(model, inversions[0], "a dog"), PromptToPrompt()(model, inversions[0], "a dog"))


def test_bad_settings(model, inversions):
    with pytest.raises(SettingError, match=r"at_once=0.*at least 1"):
        edit_many(model, [], at_once=0)
    with pytest.raises(SettingError, match="'raise' or 'return'"):
        inspect.unwrap(edit_many)(model, [], errors="ignore")
    assert list(edit_many(model, [])) == []
