"""Blended Latent Diffusion: what stays, what is sampled, and its bounds."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import nulltext
from nulltext.diffusion.levels import combine, denoise
from nulltext.errors import EmptyMaskError, MismatchError, SettingError
from nulltext.images import to_pixels

PROMPT, TARGET, OTHER = "a red ball on grass", "a blue ball on grass", "a dog"
STEPS = 8


def drawn(*box):
    """A mask of the photograph's shape, 96 x 80, white in a box of (left, top, right, bottom)."""
    mask = Image.new("L", (96, 80))
    mask.paste(255, box)
    return mask


EVERYWHERE, LEFT = drawn(0, 0, 96, 80), drawn(0, 0, 45, 80)
"""All of the photograph; and a part of it whose border lies within cells of the latents."""


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return nulltext.DDIM(steps=STEPS)(any_model, source_image, PROMPT)


def latents_of(editor, model, inversion, prompts):
    """After each step."""
    events = []
    editor(model, inversion, prompts, events.append)
    return [event.latents for event in events]


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_it_is_the_papers_algorithm(any_model, inversion):
    """Algorithm 1, line by line, for one prompt."""
    editor = nulltext.BlendedDiffusion(mask=LEFT, seed=3, guidance=4.0, paste=False)
    generator, z0 = torch.Generator().manual_seed(3), inversion.pivot[-1:]
    m = F.interpolate(inversion.frame.fit_mask(LEFT.convert("RGBA")), size=(8, 8), mode="area").gt(0.5).float()
    cond, null = any_model.embed([TARGET]), any_model.null()
    steps = inversion.schedule[2:]
    z = combine(z0, torch.randn(z0.shape, generator=generator), steps[0].noisy)
    with torch.no_grad():
        for i, step in enumerate(steps):
            out_cond, out_null = (any_model.predict(z, step.t, each) for each in (cond, null))
            foreground = denoise(z, out_null + 4.0 * (out_cond - out_null), step, any_model.prediction)
            noise = torch.randn(z0.shape, generator=generator) if i < len(steps) - 1 else None
            background = z0 if noise is None else combine(z0, noise, step.clean)
            z = foreground * m + background * (1 - m)
    torch.testing.assert_close(latents_of(editor, any_model, inversion, TARGET)[-1], z, rtol=0, atol=1e-4)
    torch.testing.assert_close(editor(any_model, inversion, TARGET).pixels, any_model.decode(z), rtol=0, atol=1e-4)


def test_where_the_mask_is_black_the_latents_are_the_sources_and_the_pixels_the_photographs(any_model, inversion):
    editor = nulltext.BlendedDiffusion(mask=LEFT)
    *_, latents = latents_of(editor, any_model, inversion, [TARGET, OTHER])
    edit = editor(any_model, inversion, [TARGET, OTHER])
    assert edit.masks is not None
    cells = F.interpolate(edit.masks, size=(8, 8))[:, 0].bool()
    for row, inside in zip(latents, cells, strict=True):
        assert torch.equal(row[:, ~inside], inversion.pivot[-1][:, ~inside])
        assert not torch.isclose(row[:, inside], inversion.pivot[-1][:, inside]).all(0).any()
    levels = inversion.frame.fit_mask(LEFT.convert("RGBA"))
    black = (levels == 0).expand(2, 3, -1, -1)
    photo = to_pixels(inversion.image).expand(2, -1, -1, -1)
    assert torch.equal(edit.pixels[black], photo[black])
    decoded = replace(editor, paste=False)(any_model, inversion, [TARGET, OTHER]).pixels
    white = (levels == 1).expand(2, 3, -1, -1)
    assert torch.equal(edit.pixels[white], decoded[white])
    assert 0 < white.float().mean() < 1
    torch.testing.assert_close(edit.source, any_model.decode(inversion.pivot[-1:]))


def test_a_mask_over_everything_is_sampling_as_if_there_were_none(any_model, inversion):
    for strength, plain in (
        (1.0, nulltext.FromNoise(seed=2)),
        (0.75, nulltext.SDEdit(strength=0.75, seed=2)),
    ):
        full = nulltext.BlendedDiffusion(mask=EVERYWHERE, seed=2, strength=strength)(any_model, inversion, TARGET)
        torch.testing.assert_close(full.pixels, plain(any_model, inversion, TARGET).pixels, rtol=0, atol=1e-4)


def test_prompts_in_one_batch_are_what_each_is_alone(any_model, inversion):
    editor = nulltext.BlendedDiffusion(mask=LEFT, seed=1)
    both, jobs = editor(any_model, inversion, [TARGET, OTHER]), [(editor, inversion, each) for each in (TARGET, OTHER)]
    for i, prompt in enumerate([TARGET, OTHER]):
        torch.testing.assert_close(
            both.pixels[i : i + 1], editor(any_model, inversion, prompt).pixels, rtol=0, atol=1e-3
        )
    for i, edit in nulltext.edit_many(any_model, jobs):
        torch.testing.assert_close(edit.pixels, both.pixels[i : i + 1], rtol=0, atol=1e-3)


def test_a_mask_may_be_found_or_lie_in_a_file(any_model, inversion, tmp_path):
    LEFT.save(tmp_path / "left.png")
    drawn_one, filed = (
        nulltext.BlendedDiffusion(mask=mask)(any_model, inversion, TARGET) for mask in (LEFT, tmp_path / "left.png")
    )
    assert torch.equal(drawn_one.pixels, filed.pixels)
    found = nulltext.DiffEditMask(samples=2, threshold=0.3)
    edit = nulltext.BlendedDiffusion(mask=found)(any_model, inversion, TARGET)
    assert edit.masks is not None
    assert torch.equal(F.interpolate(edit.masks, size=(8, 8)), found(any_model, inversion, TARGET))


def test_seed_strength_and_guidance_matter(any_model, inversion):
    first = nulltext.BlendedDiffusion(mask=LEFT)
    pixels = first(any_model, inversion, TARGET).pixels
    for other in (replace(first, seed=1), replace(first, strength=0.5), replace(first, guidance=2.0)):
        assert (other(any_model, inversion, TARGET).pixels - pixels).abs().max() > 1e-3
    assert torch.equal(first(any_model, inversion, TARGET).pixels, pixels)


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "none": ({}, SettingError, "got no mask for blended-diffusion; expected one"),
    "black": ({"mask": drawn(0, 0, 0, 0)}, EmptyMaskError, "nothing white in it at 8 x 8"),
    "half of a cell": ({"mask": drawn(20, 10, 24, 20)}, EmptyMaskError, "nothing white in it at 8 x 8"),
    "no steps": ({"mask": LEFT, "strength": 0.1}, SettingError, "none of the 8 steps to sample; expected at least"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_masks_that_are_refused(any_model, inversion, what):
    settings, error, expected = REFUSED[what]
    with pytest.raises(error, match=expected):
        nulltext.BlendedDiffusion(**settings)(any_model, inversion, TARGET)


def test_settings_out_of_range(any_model, inversion):
    for strength in (0.0, 1.1, float("nan")):
        with pytest.raises(SettingError, match="strength"):
            nulltext.BlendedDiffusion(strength=strength)
    other = replace(any_model, scheduler_config={**any_model.scheduler_config, "steps_offset": 0})
    with pytest.raises(MismatchError):
        nulltext.BlendedDiffusion(mask=LEFT)(other, inversion, TARGET)
