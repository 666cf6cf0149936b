import dataclasses

import pytest
import torch

import nulltext
from nulltext import DDIM, NullText, psnr, reconstruct
from nulltext.errors import MismatchError

PROMPT = "a red ball on grass"


@pytest.fixture(scope="module")
def nulled(any_model, source_image):
    return NullText(steps=4, inner_steps=3)(any_model, source_image, PROMPT)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_gives_what_the_inversion_promised(any_model, nulled, source_image):
    assert psnr(reconstruct(any_model, nulled), source_image.pixels) == pytest.approx(nulled.scores.psnr, abs=0.01)


def test_at_the_guidance_it_was_made_for(any_model, nulled):
    assert torch.equal(reconstruct(any_model, nulled), reconstruct(any_model, nulled, 7.5))
    with pytest.raises(MismatchError, match=r"got guidance 3.*made for 7\.5"):
        reconstruct(any_model, nulled, 3.0)


def test_a_plain_inversion_at_any_guidance_stated(any_model, source_image):
    plain = DDIM(steps=4)(any_model, source_image, PROMPT)
    assert torch.equal(reconstruct(any_model, plain), reconstruct(any_model, plain, 1.0))
    assert not torch.allclose(reconstruct(any_model, plain), reconstruct(any_model, plain, 7.5))


@pytest.mark.cuda
def test_what_a_gpu_draws_comes_back_to_the_cpu(folder, source_image, gpu):
    model = nulltext.load(folder("epsilon"), device=gpu, dtype="float32")
    inversion = DDIM(steps=2)(model, source_image, PROMPT)
    output, generated = reconstruct(model, inversion), nulltext.generate(model, PROMPT, steps=2)
    assert output.device.type == generated.device.type == "cpu"
    assert psnr(output, source_image.pixels) == pytest.approx(inversion.scores.psnr, abs=0.01)


def test_with_another_model(model, source_image, folder):
    nulled = NullText(steps=1, inner_steps=1)(model, source_image, PROMPT)
    made = rf"got the model v_prediction.*made with epsilon.*by nulltext {nulltext.__version__}"
    with pytest.raises(MismatchError, match=made):
        reconstruct(nulltext.load(folder("v_prediction"), device="cpu"), nulled)


def test_with_another_schedule(any_model, nulled):
    other = dataclasses.replace(any_model, scheduler_config={**any_model.scheduler_config, "beta_end": 0.02})
    with pytest.raises(MismatchError, match="schedule"):
        reconstruct(other, nulled)


def test_in_another_precision_of_the_same_weights(any_model, folder, nulled, source_image):
    half = nulltext.load(folder(any_model.prediction), device="cpu", dtype="bfloat16")
    assert psnr(reconstruct(half, nulled), source_image.pixels) == pytest.approx(nulled.scores.psnr, abs=0.5)
