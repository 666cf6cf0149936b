import pytest
import torch

from nulltext import DDIM, Progress, open_image, reconstruct
from nulltext.errors import CaptionTooLongError, DivergedError, EmptyCaptionError, SettingError

CAPTION = "a red ball on grass"


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_at_weight_one_leads_back(any_model, photo):
    inversion = DDIM(steps=20)(any_model, photo, CAPTION)
    assert inversion.replay.nulls is None
    assert inversion.scores.psnr == pytest.approx(inversion.scores.vae_psnr, abs=0.5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_score_is_that_of_the_reconstruction(model, photo, guidance):
    from nulltext import psnr

    inversion = DDIM(steps=4, guidance=guidance)(model, photo, CAPTION)
    assert inversion.guidance == guidance
    assert psnr(reconstruct(model, inversion), photo.pixels) == pytest.approx(inversion.scores.psnr, abs=1e-3)
    assert psnr(model.decode(inversion.pivot[-1:]), photo.pixels) == pytest.approx(inversion.scores.vae_psnr, abs=1e-6)


def test_guidance_changes_the_trajectory(model, photo):
    plain, guided = (DDIM(steps=4, guidance=w)(model, photo, CAPTION) for w in (1.0, 3.0))
    assert torch.equal(plain.pivot[-1], guided.pivot[-1])
    assert not torch.allclose(plain.pivot[0], guided.pivot[0])


def test_the_record(model, photo):
    inversion = DDIM(steps=4)(model, photo, CAPTION)
    assert inversion.pivot.shape == (5, 4, 8, 8)
    assert (inversion.method, inversion.settings) == ("DDIM", {"steps": 4, "guidance": 1.0, "fixed_point": None})
    assert inversion.model == model.identity
    assert inversion.sha256 == photo.sha256
    assert inversion.schedule == model.schedule(4)


def test_a_picture_that_is_no_square(model, picture):
    photo = open_image(picture, model, size=(48, 80))
    inversion = DDIM(steps=2)(model, photo, CAPTION)
    assert inversion.pivot.shape == (3, 4, 6, 10)
    assert reconstruct(model, inversion).shape == (1, 3, 48, 80)


def test_tells_its_progress(model, photo):
    events: list[Progress] = []
    DDIM(steps=2)(model, photo, CAPTION, events.append)
    assert [(event.phase, event.step) for event in events] == [
        ("invert", 1), ("invert", 2), ("sample", 1), ("sample", 2)
    ]  # fmt: skip


def test_bad_captions_and_settings(model, photo):
    with pytest.raises(EmptyCaptionError):
        DDIM()(model, photo, "")
    with pytest.raises(CaptionTooLongError):
        DDIM()(model, photo, "cat " * 30)
    with pytest.raises(SettingError, match="steps=2000"):
        DDIM(steps=2000)(model, photo, CAPTION)


def test_numbers_that_diverge_are_an_error(pipeline_builder, photo):
    from nulltext.models.base import ModelIdentity
    from nulltext.models.parts import Parts
    from nulltext.models.stable_diffusion import StableDiffusion

    pipeline = pipeline_builder()
    pipeline.unet.conv_out.weight.data.fill_(1e38)
    model = StableDiffusion.from_parts(
        Parts.of(pipeline), ModelIdentity("broken", "sha256:0"), device=torch.device("cpu"), dtype=torch.float32
    )
    with pytest.raises(DivergedError, match="trajectory"):
        DDIM(steps=2)(model, photo, CAPTION)
