from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nulltext import DDIM, Inversion, Progress, PromptSwap, PromptToPrompt, attention_maps, psnr, reconstruct
from nulltext.errors import DivergedError, MismatchError, PromptError, SettingError
from nulltext.inversion.methods.no_pivot import NoPivot
from nulltext.inversion.methods.textual_inversion import TextualInversion

PROMPT = "a red ball on grass"


@pytest.fixture(scope="module", params=[False, True], ids=["without pivot", "with pivot"])
def inversion(request, any_model, source_image):
    return TextualInversion(steps=4, inner_steps=2, pivot=request.param)(any_model, source_image, PROMPT)


def equation_4(plain, *, iterations, w, rate, seed):
    """Equation 4 of arXiv 2211.09794 under guidance, the times being the sampler's."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 4, 8, 8, generator=generator)
    cond = plain.cond.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([cond], lr=rate)
    for _ in range(iterations):
        t = plain.times[torch.randint(plain.steps, (), generator=generator).item()]
        noise = torch.randn(1, 4, 8, 8, generator=generator)
        z = plain.noised(noise, t)
        loss = F.mse_loss(plain.eps(z, plain.guided(z, t, plain.null, cond, w), t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return plain.random_pivot(start), cond.detach()


def along_the_pivot(plain, *, passes, w, rate):
    """Algorithm 2 of the same, with the prompt's embedding for the null text's."""
    pivot, cond = plain.ddim_pivot(), plain.cond.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([cond], lr=rate)
    for _ in range(passes):
        z = pivot[0]
        for t, target in zip(plain.times, pivot[1:], strict=True):
            loss = F.mse_loss(plain.land(z, t, plain.null, cond, w), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                z = plain.land(z, t, plain.null, cond, w)
    return pivot, cond.detach()


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
@pytest.mark.parametrize("w", [7.5, 1.0])
def test_without_a_pivot_it_follows_equation_4(any_model, source_image, plain, w):
    parts = plain(any_model, source_image.pixels, PROMPT, 4)
    pivot, cond = equation_4(parts, iterations=12, w=w, rate=0.01, seed=5)
    inversion = TextualInversion(steps=4, inner_steps=3, guidance=w, seed=5)(any_model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, torch.cat(pivot), rtol=0, atol=1e-5)
    torch.testing.assert_close(inversion.replay.cond, cond[0], rtol=0, atol=1e-4)
    assert inversion.replay.nulls is None


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_with_a_pivot_it_follows_algorithm_2(any_model, source_image, plain):
    pivot, cond = along_the_pivot(plain(any_model, source_image.pixels, PROMPT, 4), passes=3, w=7.5, rate=0.01)
    inversion = TextualInversion(steps=4, inner_steps=3, pivot=True)(any_model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, torch.cat(pivot), rtol=0, atol=1e-4)
    torch.testing.assert_close(inversion.replay.cond, cond[0], rtol=0, atol=1e-4)
    assert inversion.replay.nulls is None


def test_with_a_pivot_it_ends_nearer_to_the_image_than_ddim_under_guidance(any_model, source_image, plain):
    parts = plain(any_model, source_image.pixels, PROMPT, 5)
    learned = TextualInversion(steps=5, inner_steps=10, pivot=True)(any_model, source_image, PROMPT)
    assert torch.equal(learned.pivot, DDIM(steps=5)(any_model, source_image, PROMPT).pivot)

    def error(cond):
        return F.mse_loss(parts.sampled(learned.pivot[:1], [parts.null] * 5, cond, 7.5), learned.pivot[-1:]).item()

    assert error(learned.replay.cond[None]) < 0.7 * error(parts.cond)


@pytest.mark.parametrize("pivot", [False, True])
def test_takes_its_iterations_and_no_more(model, source_image, passes_with_gradient, pivot):
    with passes_with_gradient(model) as batches:
        TextualInversion(steps=4, inner_steps=3, pivot=pivot)(model, source_image, PROMPT)
    assert batches == [1] * 12


def test_the_seed_decides_where_there_is_no_pivot(model, source_image):
    def invert(seed, *, pivot=False) -> Any:
        return TextualInversion(steps=2, inner_steps=2, seed=seed, pivot=pivot)(model, source_image, PROMPT)

    assert torch.equal(invert(3).replay.cond, invert(3).replay.cond)
    assert not torch.allclose(invert(3).replay.cond, invert(4).replay.cond)
    assert torch.equal(invert(3, pivot=True).replay.cond, invert(4, pivot=True).replay.cond)
    assert torch.equal(invert(3).pivot, NoPivot(steps=2, inner_steps=1, seed=3)(model, source_image, PROMPT).pivot)


def test_comes_back_from_its_file(any_model, source_image, inversion, tmp_path):
    back = Inversion.load(inversion.save(tmp_path / "a.safetensors"))
    torch.testing.assert_close(back.replay.cond, inversion.replay.cond, rtol=0, atol=0)
    assert back.replay.nulls is None
    assert psnr(reconstruct(any_model, back), source_image.pixels) == pytest.approx(inversion.scores.psnr, abs=0.01)


@pytest.mark.parametrize("editor", [PromptSwap(), PromptToPrompt()], ids=["PromptSwap", "PromptToPrompt"])
def test_the_same_prompt_is_the_reconstruction(any_model, inversion, editor):
    edit, output = editor(any_model, inversion, [PROMPT, "a blue ball on grass"]), reconstruct(any_model, inversion)
    # To 1e-4 of an image's range, which is 2.
    torch.testing.assert_close(edit.source, output, rtol=0, atol=2e-4)
    torch.testing.assert_close(edit.pixels[:1], output, rtol=0, atol=2e-4)
    assert (edit.pixels[1:] - output).abs().max() > 1e-3


def test_the_embedding_is_what_draws_the_source(any_model, inversion, plain, source_image):
    parts = plain(any_model, source_image.pixels, PROMPT, 4)
    start, nulls = inversion.pivot[:1], [parts.null] * 4
    learned = any_model.decode(parts.sampled(start, nulls, inversion.replay.cond[None], 7.5))
    prompted = any_model.decode(parts.sampled(start, nulls, parts.cond, 7.5))
    torch.testing.assert_close(reconstruct(any_model, inversion), learned, rtol=0, atol=2e-4)
    torch.testing.assert_close(attention_maps(any_model, inversion).pixels, learned, rtol=0, atol=2e-4)
    assert (learned - prompted).abs().max() > 1e-2


def test_at_the_guidance_it_was_made_for(any_model, inversion):
    with pytest.raises(MismatchError, match=r"got guidance 3.*made for 7\.5"):
        reconstruct(any_model, inversion, 3.0)


def test_the_record(model, source_image):
    inversion = TextualInversion(steps=2, inner_steps=1, guidance=3.0, seed=9)(model, source_image, PROMPT)
    assert (inversion.method, inversion.guidance) == ("TextualInversion", 3.0)
    assert inversion.settings == {
        "steps": 2, "inner_steps": 1, "guidance": 3.0, "negative_prompt": "",
        "pivot": False, "learning_rate": 0.01, "seed": 9
    }  # fmt: skip


@pytest.mark.parametrize("pivot", [False, True])
def test_tells_its_progress(model, source_image, pivot):
    events: list[Progress] = []
    TextualInversion(steps=2, inner_steps=2, pivot=pivot)(model, source_image, PROMPT, events.append)
    steps = [(event.phase, event.step, event.total) for event in events]
    assert steps[-6:] == [*(("optimise", step, 4) for step in (1, 2, 3, 4)), ("sample", 1, 2), ("sample", 2, 2)]
    assert steps[:-6] == ([("invert", 1, 2), ("invert", 2, 2)] if pivot else [])
    assert all(event.loss is not None for event in events if event.phase == "optimise")


@pytest.mark.parametrize("pivot", [False, True])
def test_numbers_that_diverge_are_an_error(model, source_image, pivot):
    with pytest.raises(DivergedError, match="conditional embedding"):
        TextualInversion(steps=2, inner_steps=3, learning_rate=1e30, pivot=pivot)(model, source_image, PROMPT)


def test_bad_prompts_and_settings(model, source_image):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"guidance": 0.0}, "guidance=0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ]
    for settings, named in wrong:
        with pytest.raises(SettingError, match=named):
            TextualInversion(**settings)
    with pytest.raises(SettingError, match="steps=2000"):
        TextualInversion(steps=2000)(model, source_image, PROMPT)
    with pytest.raises(PromptError):
        TextualInversion()(model, source_image, " ")
