import dataclasses

import numpy as np
import pytest
import torch

import nulltext
from nulltext import DDIM, CaptionSwap, NullText, Progress, reconstruct
from nulltext.errors import CaptionTooLongError, EmptyCaptionError, MismatchError

CAPTION = "a red ball on grass"


@pytest.fixture(scope="module")
def inversion(model, photo):
    return NullText(steps=4, inner_steps=2)(model, photo, CAPTION)


def test_one_caption(model, inversion, picture):
    edit = CaptionSwap()(model, inversion, "a blue ball on grass")
    assert edit.captions == ("a blue ball on grass",)
    assert edit.pixels.shape == edit.source.shape == (1, 3, 64, 64)
    assert edit.image.size == edit.reconstruction.size == picture.size
    assert len(edit.images) == 1
    assert not torch.allclose(edit.pixels, edit.source)


def test_the_old_caption_gives_the_reconstruction(model, inversion):
    edit = CaptionSwap()(model, inversion, CAPTION)
    torch.testing.assert_close(edit.pixels, edit.source, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(edit.source, reconstruct(model, inversion), rtol=1e-4, atol=1e-4)


def test_several_in_one_batch_are_what_each_is_alone(model, inversion):
    captions = ["a blue ball on grass", "a dog on grass", "a cat"]
    together = CaptionSwap()(model, inversion, captions)
    assert together.pixels.shape == (3, 3, 64, 64)
    for i, caption in enumerate(captions):
        alone = CaptionSwap()(model, inversion, caption)
        torch.testing.assert_close(together.pixels[i : i + 1], alone.pixels, rtol=1e-3, atol=1e-3)


def test_what_was_cropped_off_stays_as_it_was(model, inversion, picture):
    left, top, right, bottom = inversion.frame.part
    edited, source = np.array(CaptionSwap()(model, inversion, "a dog").image), np.array(picture)
    assert not np.array_equal(edited, source)
    edited[top:bottom, left:right] = source[top:bottom, left:right]
    assert np.array_equal(edited, source)


def test_guidance_is_the_inversions_own(model, inversion, photo):
    with pytest.raises(MismatchError, match="guidance"):
        CaptionSwap(guidance=3.0)(model, inversion, "a dog")
    plain = DDIM(steps=2)(model, photo, CAPTION)
    weak, strong = (CaptionSwap(guidance=w)(model, plain, "a dog").pixels for w in (None, 7.5))
    assert not torch.allclose(weak, strong)


def test_another_model_or_schedule(model, inversion, folder):
    with pytest.raises(MismatchError, match="Load that model"):
        CaptionSwap()(nulltext.load(folder("v_prediction"), device="cpu"), inversion, "a dog")
    with pytest.raises(MismatchError, match="schedule"):
        CaptionSwap()(
            dataclasses.replace(model, scheduler_config={**model.scheduler_config, "steps_offset": 0}), inversion, "a"
        )


@pytest.mark.parametrize("captions", ["", " ", [], ["a dog", ""]])
def test_empty_captions(model, inversion, captions):
    with pytest.raises(EmptyCaptionError):
        CaptionSwap()(model, inversion, captions)


def test_a_caption_that_is_too_long(model, inversion):
    with pytest.raises(CaptionTooLongError):
        CaptionSwap()(model, inversion, ["a dog", "cat " * 30])


def test_tells_its_progress(model, inversion):
    events: list[Progress] = []
    CaptionSwap()(model, inversion, "a dog", events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [("sample", i, 4) for i in range(1, 5)]
