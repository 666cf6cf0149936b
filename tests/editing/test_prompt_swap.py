import dataclasses

import numpy as np
import pytest
import torch

import nulltext
from nulltext import DDIM, NullText, Progress, PromptSwap, reconstruct
from nulltext.errors import EmptyPromptError, MismatchError, PromptTooLongError

PROMPT = "a red ball on grass"


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return NullText(steps=4, inner_steps=2)(any_model, source_image, PROMPT)


def test_one_prompt(any_model, inversion, image):
    edit = PromptSwap()(any_model, inversion, "a blue ball on grass")
    assert edit.prompts == ("a blue ball on grass",)
    assert edit.pixels.shape == edit.source.shape == (1, 3, 64, 64)
    assert edit.image.size == edit.reconstruction.size == image.size
    assert len(edit.images) == 1
    assert not torch.allclose(edit.pixels, edit.source)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_the_old_prompt_gives_the_reconstruction(any_model, inversion):
    edit = PromptSwap()(any_model, inversion, PROMPT)
    torch.testing.assert_close(edit.pixels, edit.source, rtol=1e-4, atol=1e-4)
    # To 1e-4 of an image's range, which is 2.
    torch.testing.assert_close(edit.source, reconstruct(any_model, inversion), rtol=0, atol=2e-4)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_several_in_one_batch_are_what_each_is_alone(any_model, inversion):
    prompts = ["a blue ball on grass", "a dog on grass", "a cat"]
    batched = PromptSwap()(any_model, inversion, prompts)
    assert batched.pixels.shape == (3, 3, 64, 64)
    for i, prompt in enumerate(prompts):
        single = PromptSwap()(any_model, inversion, prompt)
        torch.testing.assert_close(batched.pixels[i : i + 1], single.pixels, rtol=1e-3, atol=1e-3)


def test_what_was_cropped_off_stays_as_it_was(any_model, inversion, image):
    left, top, right, bottom = inversion.frame.part
    edited, source = np.array(PromptSwap()(any_model, inversion, "a dog").image), np.array(image)
    assert not np.array_equal(edited, source)
    edited[top:bottom, left:right] = source[top:bottom, left:right]
    assert np.array_equal(edited, source)


def test_guidance_is_the_inversions_own(any_model, inversion, source_image):
    with pytest.raises(MismatchError, match="guidance"):
        PromptSwap(guidance=3.0)(any_model, inversion, "a dog")
    plain = DDIM(steps=2)(any_model, source_image, PROMPT)
    weak, strong = (PromptSwap(guidance=w)(any_model, plain, "a dog").pixels for w in (None, 7.5))
    assert not torch.allclose(weak, strong)


def test_another_model_or_schedule(any_model, inversion, folder):
    other = folder("epsilon" if any_model.prediction == "v_prediction" else "v_prediction")
    with pytest.raises(MismatchError, match="Load that model"):
        PromptSwap()(nulltext.load(other, device="cpu"), inversion, "a dog")
    with pytest.raises(MismatchError, match="schedule"):
        PromptSwap()(
            dataclasses.replace(any_model, scheduler_config={**any_model.scheduler_config, "steps_offset": 0}),
            inversion,
            "a",
        )


@pytest.mark.parametrize("prompts", ["", " ", [], ["a dog", ""]])
def test_empty_prompts(any_model, inversion, prompts):
    with pytest.raises(EmptyPromptError):
        PromptSwap()(any_model, inversion, prompts)


def test_a_prompt_that_is_too_long(any_model, inversion):
    with pytest.raises(PromptTooLongError):
        PromptSwap()(any_model, inversion, ["a dog", "cat " * 30])


def test_tells_its_progress(any_model, inversion):
    events: list[Progress] = []
    PromptSwap()(any_model, inversion, "a dog", events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [("sample", i, 4) for i in range(1, 5)]
