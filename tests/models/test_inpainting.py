"""Denoisers of nine channels, which are shown a mask: Stable Diffusion's and XL's, and the editor for them."""

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch.nn import functional as F

import nulltext
from nulltext.errors import EmptyMaskError, ImageError, SettingError
from nulltext.images import to_image, to_pixels
from nulltext.models.compiling import compile_denoiser
from nulltext.models.inpainting import InpaintingUNet, inpaints, showing

PROMPT, TARGET, OTHER = "a red ball on grass", "a blue ball on grass", "a dog"
SIZE, CELLS = (48, 80), (6, 10)
"""Not square."""
STEPS = 4


def drawn(*box):
    """A mask of the fitted image's size, white in a box of (left, top, right, bottom)."""
    mask = Image.new("L", (SIZE[1], SIZE[0]))
    mask.paste(255, box)
    return mask


ONE = pytest.mark.parametrize("family", ["SD"], indirect=True, scope="module")
"""For what does not depend on the family."""
BALL = drawn(13, 5, 50, 41)
"""None of whose sides lies between two cells."""


@pytest.fixture(scope="module", params=["SD", "XL"])
def family(request, tmp_path_factory, pipeline_builder, xl_builder):
    """A pipeline of diffusers', and the folder that it was saved in."""
    of_xl = request.param == "XL"
    plain = xl_builder(channels=9) if of_xl else pipeline_builder(in_channels=9)
    with torch.no_grad():
        plain.unet.conv_out.weight *= 1.0 if of_xl else 0.2  # XL's is so: else rounding grows as in no trained network
    made: Any = StableDiffusionXLInpaintPipeline if of_xl else StableDiffusionInpaintPipeline
    more = {"add_watermarker": False} if of_xl else {"requires_safety_checker": False}
    pipeline = made(**plain.components, **more)
    pipeline.set_progress_bar_config(disable=True)
    folder = tmp_path_factory.mktemp(request.param)
    pipeline.save_pretrained(folder)
    return pipeline, folder


@pytest.fixture(scope="module")
def model(family):
    return nulltext.load(family[1], device="cpu")


@pytest.fixture(scope="module")
def source(model, image):
    return nulltext.open_image(image.resize((SIZE[1], SIZE[0])), model, size=SIZE)


@pytest.fixture(scope="module")
def inversion(model, source):
    return nulltext.DDIM(steps=STEPS)(model, source, PROMPT)


def last(editor, model, inversion, prompts):
    """The latents that an editor ends with, and its edit."""
    events = []
    edit = editor(model, inversion, prompts, events.append)
    return events[-1].latents, edit


# ---- against the pipeline


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_it_is_the_pipelines_result(family, model, inversion, strength, monkeypatch):
    """With the same noise, and the mean in the place of what the pipeline draws of an image's latents."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, _: self.mode())
    noise = torch.randn(1, 4, *CELLS, generator=torch.Generator().manual_seed(3))
    settings: dict[str, Any] = {
        "image": to_image(to_pixels(inversion.image)), "mask_image": BALL, "num_inference_steps": STEPS,
        "guidance_scale": 6.0, "strength": strength, "height": SIZE[0], "width": SIZE[1],
    }  # fmt: skip
    settings |= {"latents": noise} if strength == 1 else {"generator": torch.Generator().manual_seed(3)}
    latents, pixels = (family[0](TARGET, output_type=kind, **settings).images for kind in ("latent", "pt"))
    editor = nulltext.Inpaint(mask=BALL, strength=strength, guidance=6.0, seed=3)
    own, edit = last(editor, model, inversion, TARGET)
    torch.testing.assert_close(own, latents, rtol=0, atol=1e-5)
    if strength == 1:
        torch.testing.assert_close(edit.pixels, pixels * 2 - 1, rtol=0, atol=1e-4)
    assert model.guidance == 7.5


def test_the_network_is_shown_what_the_pipeline_shows_it(family, model):
    pipeline, mask = family[0], F.interpolate(torch.tensor(np.array(BALL))[None, None] / 255, size=CELLS)
    x, left = torch.randn(2, 2, 4, *CELLS, generator=torch.Generator().manual_seed(0)).unbind()
    cond = model.embed([PROMPT, TARGET], SIZE)
    beside = {} if cond.pooled is None else {"added_cond_kwargs": {"text_embeds": cond.pooled, **cond.extras}}
    seen = mask.expand(2, -1, -1, -1)
    with torch.no_grad():
        expected = pipeline.unet(torch.cat([x, seen, left], 1), 500, cond.text, **beside).sample
        torch.testing.assert_close(model.predict(x, 500.0, showing(cond, seen, left)), expected)
        blank = model.encode(torch.zeros(1, 3, *SIZE)).expand(2, -1, -1, -1)
        whole = showing(cond, torch.ones_like(seen), blank)
        torch.testing.assert_close(model.predict(x, 500.0, cond), model.predict(x, 500.0, whole))


# ---- the editor


@ONE
def test_a_mask_over_everything_is_sampling_from_noise(model, inversion):
    full = nulltext.Inpaint(mask=drawn(0, 0, 80, 48), seed=2)(model, inversion, TARGET)
    noise = nulltext.FromNoise(seed=2)(model, inversion, TARGET)
    torch.testing.assert_close(full.pixels, noise.pixels, rtol=0, atol=1e-4)


def test_pasted_the_photograph_is_untouched_where_the_mask_is_black(model, inversion):
    plain, pasted = (nulltext.Inpaint(mask=BALL, paste=paste)(model, inversion, TARGET) for paste in (False, True))
    outside, photo = (plain.masks == 0).expand(1, 3, -1, -1), to_pixels(inversion.image)
    assert torch.equal(plain.masks[0, 0] * 255, torch.tensor(np.array(BALL)).float())
    assert torch.equal(pasted.pixels[outside], photo[outside])
    assert torch.equal(pasted.pixels[~outside], plain.pixels[~outside])
    assert (plain.pixels - photo)[outside].abs().max() > 1e-2
    torch.testing.assert_close(plain.source, model.decode(inversion.pivot[-1:]), rtol=0, atol=1e-5)


@ONE
def test_prompts_in_one_batch_are_what_each_is_alone_by_a_mask_of_its_own(model, inversion):
    def halves(model, inversion, prompt):
        mask = torch.zeros(1, 1, *CELLS)
        mask[..., :5] = float(prompt == TARGET)
        mask[..., 5:] = float(prompt != TARGET)
        return mask

    editor = nulltext.Inpaint(mask=halves, seed=1)
    both = editor(model, inversion, [TARGET, OTHER])
    assert both.masks is not None
    for i, prompt in enumerate([TARGET, OTHER]):
        alone = editor(model, inversion, prompt)
        torch.testing.assert_close(both.pixels[i : i + 1], alone.pixels, rtol=0, atol=1e-3)
        assert alone.masks is not None
        assert torch.equal(both.masks[i : i + 1], alone.masks)
    assert not torch.equal(both.masks[0], both.masks[1])
    jobs = [(editor, inversion, prompt) for prompt in (TARGET, OTHER)]
    for i, edit in nulltext.edit_many(model, jobs):
        torch.testing.assert_close(edit.pixels, both.pixels[i : i + 1], rtol=0, atol=1e-3)


@ONE
def test_seed_mask_and_guidance_matter(model, inversion):
    first = nulltext.Inpaint(mask=BALL)
    others = [replace(first, seed=1), replace(first, mask=drawn(30, 0, 80, 48)), replace(first, guidance=2.0)]
    pixels = first(model, inversion, TARGET).pixels
    for other in others:
        assert (other(model, inversion, TARGET).pixels - pixels).abs().max() > 1e-3
    assert torch.equal(first(model, inversion, TARGET).pixels, pixels)


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "none": ({}, SettingError, "got no mask for inpaint; expected one. Give an image drawn over"),
    "black": ({"mask": drawn(0, 0, 0, 0)}, EmptyMaskError, "nothing white in it at 10 x 6"),
    "between the cells": ({"mask": drawn(1, 1, 4, 4)}, EmptyMaskError, "nothing white in it at 10 x 6"),
    "of another shape": ({"mask": Image.new("L", (10, 99), 255)}, ImageError, "the mask is 10 x 99; expected"),
    "no steps": (
        {"mask": BALL, "strength": 0.1},
        SettingError,
        "none of the 4 steps to sample; expected at least 0.25",
    ),
}


@ONE
@pytest.mark.parametrize("what", REFUSED)
def test_masks_that_are_refused(model, inversion, what):
    settings, error, expected = REFUSED[what]
    with pytest.raises(error, match=expected):
        nulltext.Inpaint(**settings)(model, inversion, TARGET)


# ---- what else such a model does: everything, all of the image being masked


def test_it_is_inverted_and_edited_like_any_other(family, model, source, tmp_path):
    made = nulltext.NullText(steps=2, inner_steps=2, guidance=3.0)(model, source, PROMPT)
    back = nulltext.Inversion.load(made.save(tmp_path / "ball.safetensors"))
    again = nulltext.load(family[1], device="cpu")
    plain = nulltext.reconstruct(model, made)
    edit = nulltext.PromptToPrompt(self_attention=0.5)(again, back, [PROMPT, TARGET])
    for same in (edit.source, edit.pixels[:1]):
        torch.testing.assert_close(same, plain, rtol=0, atol=2e-3)
    assert (edit.pixels[1:] - plain).abs().max() > 1e-3
    exact = nulltext.DirectInversion(steps=2, fixed_point=None)(model, source, PROMPT)
    assert exact.scores.psnr == pytest.approx(exact.scores.vae_psnr)
    swap = nulltext.PromptSwap()(model, exact, PROMPT)
    torch.testing.assert_close(swap.source, model.decode(model.encode(source.pixels)), rtol=0, atol=1e-4)


@ONE
def test_low_memory_changes_nothing(family, model):
    x, gradients = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), []
    for each in (model, nulltext.load(family[1], device="cpu", low_memory=True)):
        cond = each.embed([PROMPT])
        text = cond.text.clone().requires_grad_()
        each.predict(x, 500.0, cond.with_text(text)).square().mean().backward()
        gradients.append(text.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-8)


@ONE
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_follows(family, model, inversion, dtype):
    half = nulltext.load(family[1], device="cpu", dtype=dtype)
    editor = nulltext.Inpaint(mask=BALL, guidance=1.0)
    latents, pixels = (last(editor, each, inversion, TARGET)[0] for each in (half, model))
    torch.testing.assert_close(latents, pixels, rtol=0, atol=0.1)


@ONE
def test_compiled_it_is_shown_the_same(family, model, inversion, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, **_: forward)
    compiled = nulltext.load(family[1], device="cpu")
    compile_denoiser(compiled)
    editor = nulltext.Inpaint(mask=BALL)
    assert_like = editor(compiled, inversion, TARGET).pixels, editor(model, inversion, TARGET).pixels
    torch.testing.assert_close(*assert_like, rtol=0, atol=1e-4)


def test_a_pipelines_class_does_not_say_whether_it_inpaints(family, model, tmp_path):
    assert inpaints(model)
    assert isinstance(model.unet, InpaintingUNet)
    folder = shutil.copytree(family[1], tmp_path / "a")
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps(index | {"_class_name": index["_class_name"].replace("Inpaint", "")}))
    assert inpaints(nulltext.load(folder, device="cpu"))


def test_a_text_to_image_checkpoint_is_refused_by_name(folder, image):
    plain = nulltext.load(folder("epsilon"), device="cpu")
    source = nulltext.DDIM(steps=2)(plain, nulltext.open_image(image, plain), PROMPT)
    with pytest.raises(SettingError, match=r"got inpaint with \S+, whose denoiser is shown no mask.*blended-diffusion"):
        nulltext.Inpaint(mask=Image.new("L", (96, 80), 255))(plain, source, TARGET)


@ONE
def test_it_takes_a_guidance_rule(model, inversion):
    plain, one, every, none = (
        nulltext.Inpaint(mask=BALL, guidance=guidance, rule=rule)(model, inversion, TARGET).pixels
        for guidance, rule in (
            (6.0, nulltext.Rule()),
            (1.0, nulltext.Rule()),
            (6.0, nulltext.Rule(name="interval")),
            (6.0, nulltext.Rule(name="interval", settings={"end": 0.0})),
        )
    )
    assert torch.equal(every, plain)
    assert torch.equal(none, one)
    assert not torch.equal(one, plain)
