import dataclasses
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline

from nulltext import DDIM, load, psnr
from nulltext.editing.methods.from_noise import FromNoise
from nulltext.editing.methods.sdedit import SDEdit
from nulltext.errors import EmptyPromptError, MismatchError, SettingError

PROMPT = "a red ball on grass"
STEPS = 10


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return DDIM(steps=STEPS)(any_model, source_image, PROMPT)


def test_is_diffusers_img2img(pipeline_builder, tmp_path, source_image):
    """The same noise into the same half-way level, and the same steps from there."""
    pipeline = pipeline_builder()
    pipeline.save_pretrained(tmp_path)
    model = load(tmp_path, device="cpu")
    inversion = DDIM(steps=STEPS)(model, source_image, PROMPT)
    theirs = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    theirs.set_progress_bar_config(disable=True)

    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    scheduler: Any = theirs.scheduler
    for strength in (0.25, 0.58, 1.0):
        scheduler.set_timesteps(STEPS)
        times, left = theirs.get_timesteps(STEPS, strength, "cpu")
        x = scheduler.add_noise(model.encode(source_image.pixels), noise, times[:1])
        cond, null = model.embed(["a dog"]).text, model.null().text
        with torch.no_grad():
            for t in times:
                eps_null, eps = pipeline.unet(torch.cat([x, x]), t, torch.cat([null, cond])).sample.chunk(2)
                x = scheduler.step(eps_null + 7.5 * (eps - eps_null), t, x).prev_sample
        events = []
        edit = SDEdit(strength=strength, seed=3, guidance=7.5)(model, inversion, "a dog", events.append)
        assert len(events) == left
        torch.testing.assert_close(edit.pixels, model.decode(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("strength", "sampled"), [(0.1, 1), (0.19, 1), (0.5, 5), (0.58, 5), (0.99, 9), (1.0, 10)])
def test_samples_the_strengths_share_of_the_steps(any_model, inversion, strength, sampled):
    events = []
    SDEdit(strength=strength)(any_model, inversion, "a dog", events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [
        ("sample", step, sampled) for step in range(1, sampled + 1)
    ]


def test_at_full_strength_it_is_generation_where_the_schedule_begins_with_noise_alone(
    pipeline_builder, source_image, tmp_path
):
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )
    pipeline_builder(scheduler=scheduler).save_pretrained(tmp_path)
    model = load(tmp_path, device="cpu")
    inversion = DDIM(steps=4)(model, source_image, PROMPT)
    full = SDEdit(strength=1.0, seed=5)(model, inversion, "a dog").pixels
    output = FromNoise(seed=5)(model, inversion, "a dog").pixels
    torch.testing.assert_close(full, output, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(full, SDEdit(strength=0.75, seed=5)(model, inversion, "a dog").pixels, atol=1e-2)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_less_strength_stays_nearer_to_the_image(any_model, inversion):
    near, far = (
        psnr(edit.pixels, edit.source)
        for edit in (SDEdit(strength=strength)(any_model, inversion, "a dog") for strength in (0.1, 1.0))
    )
    assert near > far + 1


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_several_in_one_batch_are_what_each_is_alone(any_model, inversion):
    prompts = ["a blue ball on grass", "a dog"]
    batched = SDEdit(strength=0.5)(any_model, inversion, prompts)
    assert batched.prompts == tuple(prompts)
    for i, prompt in enumerate(prompts):
        single = SDEdit(strength=0.5)(any_model, inversion, prompt)
        torch.testing.assert_close(batched.pixels[i : i + 1], single.pixels, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(batched.source, single.source)


def test_seed_and_guidance_matter(any_model, inversion):
    asked: list[dict[str, Any]] = [{}, {"seed": 1}, {"guidance": 1.0}]
    first, seed, guidance = (SDEdit(**settings)(any_model, inversion, "a dog").pixels for settings in asked)
    assert not torch.allclose(first, seed)
    assert not torch.allclose(first, guidance)


def test_settings_out_of_range(any_model, inversion):
    for strength in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(SettingError, match="strength"):
            SDEdit(strength=strength)
    with pytest.raises(SettingError, match=r"none of the 10 steps.*at least 0\.1"):
        SDEdit(strength=0.05)(any_model, inversion, "a dog")


def test_what_no_editor_takes(any_model, inversion):
    with pytest.raises(EmptyPromptError):
        SDEdit()(any_model, inversion, [])
    other = dataclasses.replace(any_model, scheduler_config={**any_model.scheduler_config, "steps_offset": 0})
    with pytest.raises(MismatchError):
        SDEdit()(other, inversion, "a dog")
