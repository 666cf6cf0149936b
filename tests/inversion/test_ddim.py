import pytest
import torch

from nulltext import DDIM, Progress, open_image, reconstruct
from nulltext.errors import DivergedError, EmptyPromptError, PromptTooLongError, SettingError

PROMPT = "a red ball on grass"


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_at_weight_one_leads_back(any_model, source_image):
    inversion = DDIM(steps=20)(any_model, source_image, PROMPT)
    assert inversion.replay.nulls is None
    assert inversion.scores.psnr == pytest.approx(inversion.scores.vae_psnr, abs=0.5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_score_is_that_of_the_reconstruction(model, source_image, guidance):
    from nulltext import psnr

    inversion = DDIM(steps=4, guidance=guidance)(model, source_image, PROMPT)
    assert inversion.guidance == guidance
    assert psnr(reconstruct(model, inversion), source_image.pixels) == pytest.approx(inversion.scores.psnr, abs=1e-3)
    assert psnr(model.decode(inversion.pivot[-1:]), source_image.pixels) == pytest.approx(
        inversion.scores.vae_psnr, abs=1e-6
    )


def test_guidance_changes_the_trajectory(model, source_image):
    plain, guided = (DDIM(steps=4, guidance=w)(model, source_image, PROMPT) for w in (1.0, 3.0))
    assert torch.equal(plain.pivot[-1], guided.pivot[-1])
    assert not torch.allclose(plain.pivot[0], guided.pivot[0])


def test_the_record(model, source_image):
    inversion = DDIM(steps=4)(model, source_image, PROMPT)
    assert inversion.pivot.shape == (5, 4, 8, 8)
    assert (inversion.method, inversion.settings) == (
        "DDIM",
        {"steps": 4, "guidance": 1.0, "negative_prompt": "", "fixed_point": None},
    )
    assert inversion.model == model.identity
    assert inversion.sha256 == source_image.sha256
    assert inversion.schedule == model.schedule(4)


def test_an_image_that_is_no_square(model, image):
    source_image = open_image(image, model, size=(48, 80))
    inversion = DDIM(steps=2)(model, source_image, PROMPT)
    assert inversion.pivot.shape == (3, 4, 6, 10)
    assert reconstruct(model, inversion).shape == (1, 3, 48, 80)


def test_tells_its_progress(model, source_image):
    events: list[Progress] = []
    DDIM(steps=2)(model, source_image, PROMPT, events.append)
    assert [(event.phase, event.step) for event in events] == [
        ("invert", 1), ("invert", 2), ("sample", 1), ("sample", 2)
    ]  # fmt: skip


def test_bad_prompts_and_settings(model, source_image):
    with pytest.raises(EmptyPromptError):
        DDIM()(model, source_image, "")
    with pytest.raises(PromptTooLongError):
        DDIM()(model, source_image, "cat " * 30)
    with pytest.raises(SettingError, match="steps=2000"):
        DDIM(steps=2000)(model, source_image, PROMPT)


def test_numbers_that_diverge_are_an_error(pipeline_builder, source_image):
    from nulltext.models.base import ModelIdentity
    from nulltext.models.build import Build
    from nulltext.models.parts import Parts
    from nulltext.models.stable_diffusion import StableDiffusion

    pipeline = pipeline_builder()
    pipeline.unet.conv_out.weight.data.fill_(1e38)
    model = StableDiffusion.from_parts(
        Parts.of(pipeline),
        Build(identity=ModelIdentity("broken", "sha256:0"), device=torch.device("cpu"), dtype=torch.float32),
    )
    with pytest.raises(DivergedError, match="trajectory"):
        DDIM(steps=2)(model, source_image, PROMPT)
