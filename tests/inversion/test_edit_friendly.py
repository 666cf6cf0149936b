"""Edit-friendly inversion against its paper, arXiv 2304.06140: exact sources, and the statistics of the noises."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nulltext import (
    DDIM,
    EditFriendly,
    Inversion,
    PromptSwap,
    PromptToPrompt,
    Replay,
    generate_inversion,
    open_image,
    reconstruct,
)
from nulltext.bench.cost import measured
from nulltext.cli.app import app
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import denoise
from nulltext.errors import SettingError
from nulltext.images import to_image
from nulltext.inversion.noise import draw_noise
from nulltext.inversion.reconstruct import replay, source_and_targets
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

PROMPT, TARGET = "a red ball on grass", "a dog on grass"


@pytest.fixture(scope="module")
def inversion(any_model, source_image):
    return EditFriendly(steps=5, guidance=3.5, skip=0.0)(any_model, source_image, PROMPT)


def noises(model, inversion, *, eta=1.0):
    """z_t of every step that makes any, and what leads on from it: eq. 5 with nothing of the replay."""
    w, pivot, null = inversion.replay.source_guidance, inversion.pivot, model.null(inversion.frame.fitted)
    guided, found = Guided(model, source_and_targets(model, inversion), w), []
    for i, interval in enumerate(inversion.schedule):
        x = pivot[i : i + 1]
        with torch.no_grad():
            mean = denoise(x, guided.predict(x, interval.t, null, i), interval, model.prediction, eta=eta)
        found.append((pivot[i + 1 : i + 2] - mean) / interval.fresh(eta))
    return torch.cat(found)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_the_source_comes_back_exactly_at_every_step(any_model, inversion):
    pivot, seen = inversion.pivot, []
    latents = replay(any_model, inversion, [PROMPT], after=lambda done, x: seen.append((done, x)) or x)
    assert [done for done, _ in seen] == [1, 2, 3, 4, 5]
    for done, x in seen:
        assert torch.equal(x[:1], pivot[done : done + 1])
        torch.testing.assert_close(x[1:], x[:1], rtol=0, atol=1e-5)  # the same prompt at the same guidance
    assert torch.equal(latents[:1], pivot[-1:])
    assert inversion.scores.psnr == inversion.scores.vae_psnr
    torch.testing.assert_close(reconstruct(any_model, inversion, 12.0), any_model.decode(pivot[-1:]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_the_noises_lead_along_the_trajectory(any_model, inversion):
    """Sampled by eq. 3 with the noises of eq. 5, written out, from z_T."""
    x, null = inversion.pivot[:1], any_model.null(inversion.frame.fitted)
    guided = Guided(any_model, source_and_targets(any_model, inversion), 3.5)
    for i, (interval, z) in enumerate(zip(inversion.schedule, noises(any_model, inversion), strict=True)):
        with torch.no_grad():
            output = guided.predict(x, interval.t, null, i)
        x = denoise(x, output, interval, any_model.prediction, eta=1.0) + interval.fresh(1.0) * z
        torch.testing.assert_close(x, inversion.pivot[i + 1 : i + 2], rtol=0, atol=1e-4)


def correlation(z):
    """Of neighbours, the mean over the steps."""
    z = z.flatten(1) - z.flatten(1).mean(1, keepdim=True)
    return torch.cosine_similarity(z[1:], z[:-1]).mean().item()


def test_the_noises_are_larger_than_a_samplers_and_neighbours_are_opposed(embedded):
    """Fig. 4 and section 3.2: the signature of noises that are friendly to edits."""
    scene = sample_scene(HELD_OUT_SEEDS[50_014])
    size, prompt = (64, 64), caption(scene)
    source_image = open_image(to_image(render([scene], height=64, width=64).pixels), embedded)
    friendly = EditFriendly(steps=12, source_guidance=1.0)(embedded, source_image, prompt)
    z = noises(embedded, friendly)[:-1]
    assert z.var().item() > 1.2
    assert correlation(z) < -0.1
    # A chain that the model generates itself, at eta = 1, has the noises that it was given.
    like = generate_inversion(embedded, prompt, steps=12, guidance=1.0, size=size)
    generator, x, chain = torch.Generator().manual_seed(1), like.pivot[:1], [like.pivot[:1]]
    guided, null = Guided(embedded, source_and_targets(embedded, like), 1.0), embedded.null(size)
    for i, interval in enumerate(like.schedule):
        with torch.no_grad():
            mean = denoise(x, guided.predict(x, interval.t, null, i), interval, embedded.prediction, eta=1.0)
        x = mean + interval.fresh(1.0) * draw_noise(x, generator)
        chain.append(x)
    own = noises(embedded, replace(like, pivot=torch.cat(chain), replay=friendly.replay))[:-1]
    assert own.var().item() == pytest.approx(1.0, abs=0.1)
    assert correlation(own) == pytest.approx(0.0, abs=0.05)


def test_without_noise_and_along_a_ddim_pivot_it_is_direct_inversion_with_the_offset_given_to_all(
    any_model, source_image
):
    plain, w = DDIM(steps=3)(any_model, source_image, PROMPT), 3.0
    both = Replay(corrected="all", eta=0.0, source_guidance=w)
    edited = replay(any_model, replace(plain, replay=both), [TARGET], guidance=w)
    guided = Guided(any_model, source_and_targets(any_model, plain, [TARGET]), w)
    x, null = plain.pivot[:1].expand(2, -1, -1, -1), any_model.null(plain.frame.fitted)
    for i, interval in enumerate(plain.schedule):
        with torch.no_grad():
            x = denoise(x, guided.predict(x, interval.t, null, i), interval, any_model.prediction)
        x = x + (plain.pivot[i + 1 : i + 2] - x[:1])  # "add source offset to target", arXiv 2310.01506
    torch.testing.assert_close(edited, x, rtol=0, atol=1e-5)


def test_the_seed_decides(any_model, source_image, inversion):
    seeded = (EditFriendly(steps=5, guidance=3.5, skip=0.0, seed=seed) for seed in (0, 1))
    again, other = (one(any_model, source_image, PROMPT) for one in seeded)
    assert torch.equal(again.pivot, inversion.pivot)
    assert not torch.equal(other.pivot[:-1], inversion.pivot[:-1])
    assert torch.equal(other.pivot[-1], inversion.pivot[-1])
    edits = [PromptSwap()(any_model, one, TARGET).pixels for one in (again, inversion, other)]
    assert torch.equal(edits[0], edits[1])
    assert (edits[2] - edits[0]).abs().max() > 1e-2


def test_it_evaluates_nothing_and_edits_only_the_steps_that_are_not_skipped(model, source_image):
    friendly = EditFriendly(steps=5, guidance=2.0, skip=0.4)
    inverted, cost = measured(model, partial(friendly, model, source_image, PROMPT))
    assert (cost.forwards, cost.backwards) == (0, 0)
    edit, cost = measured(model, lambda: PromptSwap()(model, inverted, TARGET))
    assert cost.forwards == 3 * 4
    more = PromptSwap()(model, replace(inverted, replay=replace(inverted.replay, skip=0.8)), TARGET)
    far, near = ((each.pixels - each.source).square().mean() for each in (edit, more))
    assert near < far, "what skips more keeps more of the image"


@pytest.mark.parametrize("editor", [PromptSwap(), PromptToPrompt(maps=True)], ids=["prompt-swap", "prompt-to-prompt"])
def test_it_comes_back_from_the_file_and_is_edited_from_it(any_model, source_image, tmp_path, editor):
    friendly = EditFriendly(steps=4, guidance=3.0, skip=0.25, seed=3)(any_model, source_image, PROMPT)
    back = Inversion.load(friendly.save(tmp_path / "a.safetensors"))
    assert torch.equal(back.pivot, friendly.pivot)
    assert back.replay.record() == {"corrected": "all", "eta": 1.0, "source_guidance": 3.5, "skip": 0.25}
    assert (back.method, back.settings["seed"]) == ("EditFriendly", 3)
    here, there = (editor(any_model, one, [PROMPT, TARGET]) for one in (friendly, back))
    assert torch.equal(here.pixels, there.pixels)
    torch.testing.assert_close(here.source, any_model.decode(friendly.pivot[-1:]), rtol=0, atol=1e-5)
    assert (here.pixels[1] - here.source[0]).abs().max() > 1e-2


def test_a_file_that_skips_other_steps_than_its_settings_say(any_model, source_image, tmp_path):
    friendly = EditFriendly(steps=2, skip=0.5)(any_model, source_image, PROMPT)
    with pytest.raises(SettingError, match="skip"):
        replace(friendly, replay=replace(friendly.replay, skip=0.0)).save(tmp_path / "a.safetensors")
    plain = DDIM(steps=2)(any_model, source_image, PROMPT)
    with pytest.raises(SettingError, match="skip"):
        replace(plain, replay=Replay(skip=0.5)).save(tmp_path / "b.safetensors")


def test_the_command_line_inverts_and_edits_by_it(loaded_once, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image.save("a.png")
    own = ("--method", "edit-friendly", "--steps", "4", "--skip", "0.5", "--source-guidance", "2", "--seed", "7")
    for command in (
        ("invert", "a.png", "a red ball", *own),
        ("edit", "a.safetensors", "a blue ball", "--self", "0.6", "-o", "b.png"),
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    again = Inversion.load("a.safetensors")
    assert again.replay.record() == {"corrected": "all", "eta": 1.0, "source_guidance": 2.0, "skip": 0.5}
    assert (again.settings["seed"], Path("b.png").is_file()) == (7, True)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"skip": 1.0}, "skip"), ({"skip": 0.9, "steps": 4}, "none of the 4 steps"), ({"seed": -1}, "seed")],
)
def test_settings_out_of_range(settings, named):
    with pytest.raises(SettingError, match=named):
        EditFriendly(**settings)
