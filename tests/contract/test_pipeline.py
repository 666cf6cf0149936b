"""The adapter against the pipeline it was loaded from."""

from typing import Any

import diffusers
import pytest
import torch

import nulltext
from nulltext.models.base import ModelIdentity
from nulltext.models.build import Build
from nulltext.models.parts import Parts
from nulltext.models.stable_diffusion import StableDiffusion

PROMPTS = ["a red ball on grass", "a dog"]


@pytest.fixture
def pipeline(any_model, folder):
    return diffusers.StableDiffusionPipeline.from_pretrained(
        folder(any_model.prediction), safety_checker=None, requires_safety_checker=False
    )


def test_embeds_alike(any_model, pipeline):
    cond, null = pipeline.encode_prompt(
        PROMPTS, "cpu", num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt=["", ""]
    )
    torch.testing.assert_close(any_model.embed(PROMPTS).text, cond)
    torch.testing.assert_close(any_model.null().text, null[:1])


@pytest.mark.parametrize("size", [None, (48, 80)])
def test_generates_alike(any_model, pipeline, size):
    ours = nulltext.generate(any_model, PROMPTS, steps=4, seed=5, size=size)
    height, width = size or (64, 64)
    theirs = pipeline(
        PROMPTS,
        num_inference_steps=4,
        guidance_scale=7.5,
        height=height,
        width=width,
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        output_type="pt",
    ).images
    torch.testing.assert_close(ours / 2 + 0.5, theirs, rtol=1e-4, atol=1e-4)


def test_codes_alike(any_model, pipeline):
    pixels = torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels).latent_dist.mode() * pipeline.vae.config.scaling_factor
        back = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample.clamp(-1, 1)
    torch.testing.assert_close(any_model.encode(pixels), latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(any_model.decode(latents), back, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "scheduler",
    ["PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
     "LMSDiscreteScheduler", "DDPMScheduler", "UniPCMultistepScheduler"],
)  # fmt: skip
def test_reads_any_scheduler_as_ddim_does(scheduler, pipeline_builder):
    theirs = getattr(diffusers, scheduler)(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    pipeline = pipeline_builder(scheduler=theirs)
    expected: Any = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    expected.set_timesteps(10)
    model = StableDiffusion.from_parts(
        Parts.of(pipeline),
        Build(identity=ModelIdentity("tiny", "sha256:0"), device=torch.device("cpu"), dtype=torch.float32),
    )
    schedule = model.schedule(10)
    assert [interval.t for interval in schedule] == expected.timesteps.tolist()
    levels = torch.tensor([interval.noisy.alpha for interval in schedule])
    torch.testing.assert_close(levels, expected.alphas_cumprod[expected.timesteps].sqrt())
    assert schedule[-1].clean.alpha == pytest.approx(expected.final_alpha_cumprod.sqrt().item(), abs=1e-6)
