import dataclasses

import numpy as np
import pytest
import torch

import nulltext
from nulltext import DDIM, CaptionSwap, NullText, Progress, reconstruct
from nulltext.errors import CaptionTooLongError, EmptyCaptionError, MismatchError

CAPTION = "a red ball on grass"


@pytest.fixture(scope="module")
def inversion(any_model, photo):
    return NullText(steps=4, inner_steps=2)(any_model, photo, CAPTION)


def test_one_caption(any_model, inversion, picture):
    edit = CaptionSwap()(any_model, inversion, "a blue ball on grass")
    assert edit.captions == ("a blue ball on grass",)
    assert edit.pixels.shape == edit.source.shape == (1, 3, 64, 64)
    assert edit.image.size == edit.reconstruction.size == picture.size
    assert len(edit.images) == 1
    assert not torch.allclose(edit.pixels, edit.source)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_the_old_caption_gives_the_reconstruction(any_model, inversion):
    edit = CaptionSwap()(any_model, inversion, CAPTION)
    torch.testing.assert_close(edit.pixels, edit.source, rtol=1e-4, atol=1e-4)
    # To 1e-4 of a picture's range, which is 2.
    torch.testing.assert_close(edit.source, reconstruct(any_model, inversion), rtol=0, atol=2e-4)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_several_in_one_batch_are_what_each_is_alone(any_model, inversion):
    captions = ["a blue ball on grass", "a dog on grass", "a cat"]
    together = CaptionSwap()(any_model, inversion, captions)
    assert together.pixels.shape == (3, 3, 64, 64)
    for i, caption in enumerate(captions):
        alone = CaptionSwap()(any_model, inversion, caption)
        torch.testing.assert_close(together.pixels[i : i + 1], alone.pixels, rtol=1e-3, atol=1e-3)


def test_what_was_cropped_off_stays_as_it_was(any_model, inversion, picture):
    left, top, right, bottom = inversion.frame.part
    edited, source = np.array(CaptionSwap()(any_model, inversion, "a dog").image), np.array(picture)
    assert not np.array_equal(edited, source)
    edited[top:bottom, left:right] = source[top:bottom, left:right]
    assert np.array_equal(edited, source)


def test_guidance_is_the_inversions_own(any_model, inversion, photo):
    with pytest.raises(MismatchError, match="guidance"):
        CaptionSwap(guidance=3.0)(any_model, inversion, "a dog")
    plain = DDIM(steps=2)(any_model, photo, CAPTION)
    weak, strong = (CaptionSwap(guidance=w)(any_model, plain, "a dog").pixels for w in (None, 7.5))
    assert not torch.allclose(weak, strong)


def test_another_model_or_schedule(any_model, inversion, folder):
    other = folder("epsilon" if any_model.prediction == "v_prediction" else "v_prediction")
    with pytest.raises(MismatchError, match="Load that model"):
        CaptionSwap()(nulltext.load(other, device="cpu"), inversion, "a dog")
    with pytest.raises(MismatchError, match="schedule"):
        CaptionSwap()(
            dataclasses.replace(any_model, scheduler_config={**any_model.scheduler_config, "steps_offset": 0}),
            inversion,
            "a",
        )


@pytest.mark.parametrize("captions", ["", " ", [], ["a dog", ""]])
def test_empty_captions(any_model, inversion, captions):
    with pytest.raises(EmptyCaptionError):
        CaptionSwap()(any_model, inversion, captions)


def test_a_caption_that_is_too_long(any_model, inversion):
    with pytest.raises(CaptionTooLongError):
        CaptionSwap()(any_model, inversion, ["a dog", "cat " * 30])


def test_tells_its_progress(any_model, inversion):
    events: list[Progress] = []
    CaptionSwap()(any_model, inversion, "a dog", events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [("sample", i, 4) for i in range(1, 5)]
