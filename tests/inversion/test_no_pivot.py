import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nulltext import Progress, psnr, reconstruct
from nulltext.errors import DivergedError, PromptError, SettingError
from nulltext.inversion.methods.no_pivot import NoPivot
from nulltext.inversion.methods.random_pivot import RandomPivot
from nulltext.inversion.stopping import PUBLISHED

PROMPT = "a red ball on grass"


def without_pivot(plain, *, inner_steps, w, rates, seed):
    """Both ends of each step made from the image, under a noise that is new at every iteration."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 4, 8, 8, generator=generator)
    nulls, null = [], plain.null
    for i, t in enumerate(plain.times):
        null = null.detach().clone().requires_grad_(True)
        optimizer = torch.optim.Adam([null], lr=rates(i))
        for _ in range(inner_steps):
            noise = torch.randn(1, 4, 8, 8, generator=generator)
            landed = plain.land(plain.noised(noise, t), t, null, plain.cond, w)
            loss = F.mse_loss(landed, plain.noised(noise, t - plain.stride))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        nulls.append(null.detach())
    return plain.random_pivot(start), torch.cat(nulls)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_every_iteration_has_a_noise_of_its_own(any_model, source_image, plain):
    pivot, nulls = without_pivot(
        plain(any_model, source_image.pixels, PROMPT, 4),
        inner_steps=3,
        w=7.5,
        rates=lambda i: 1e-2 * (1 - i / 100),
        seed=5,
    )
    inversion = NoPivot(steps=4, inner_steps=3, seed=5)(any_model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, torch.cat(pivot), rtol=0, atol=1e-5)
    torch.testing.assert_close(inversion.replay.nulls, nulls, rtol=0, atol=1e-4)
    assert inversion.scores.psnr == pytest.approx(
        psnr(reconstruct(any_model, inversion), source_image.pixels), abs=0.01
    )


def test_starts_where_a_random_pivot_of_that_seed_does(model, source_image):
    made: Any = (
        method(steps=2, inner_steps=1, seed=8)(model, source_image, PROMPT) for method in (NoPivot, RandomPivot)
    )
    without, around = made
    assert torch.equal(without.pivot[0], around.pivot[0])
    assert not torch.allclose(without.replay.nulls, around.replay.nulls)


def test_takes_its_iterations_and_stops_early_if_told(model, source_image, passes_with_gradient):
    with passes_with_gradient(model) as batches:
        NoPivot(steps=4, inner_steps=3)(model, source_image, PROMPT)
    assert batches == [1] * 12
    at_once = dataclasses.replace(PUBLISHED, tolerance=1e9)
    with passes_with_gradient(model) as batches:
        NoPivot(steps=4, inner_steps=3, descent=at_once)(model, source_image, PROMPT)
    assert batches == [1] * 4


def test_the_seed_decides(model, source_image):
    made: Any = (NoPivot(steps=2, inner_steps=2, seed=seed)(model, source_image, PROMPT) for seed in (3, 3, 4))
    first, again, other = made
    assert torch.equal(first.pivot, again.pivot)
    assert torch.equal(first.replay.nulls, again.replay.nulls)
    assert not torch.allclose(first.replay.nulls, other.replay.nulls)


def test_the_record(model, source_image):
    inversion = NoPivot(steps=2, inner_steps=1, seed=9)(model, source_image, PROMPT)
    assert (inversion.method, inversion.guidance, inversion.replay.cond) == ("NoPivot", 7.5, None)
    assert inversion.settings == {
        "steps": 2, "inner_steps": 1, "guidance": 7.5, "negative_prompt": "",
        "descent": dataclasses.asdict(PUBLISHED), "seed": 9
    }  # fmt: skip


def test_tells_its_progress(model, source_image):
    events: list[Progress] = []
    NoPivot(steps=2, inner_steps=2)(model, source_image, PROMPT, events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [
        ("optimise", 1, 2), ("optimise", 2, 2), ("sample", 1, 2), ("sample", 2, 2)
    ]  # fmt: skip
    assert all(event.loss is not None for event in events if event.phase == "optimise")


def test_numbers_that_diverge_are_an_error(model, source_image):
    wild = dataclasses.replace(PUBLISHED, learning_rate=1e30)
    with pytest.raises(DivergedError, match="null embeddings"):
        NoPivot(steps=2, inner_steps=3, descent=wild)(model, source_image, PROMPT)


def test_bad_prompts_and_settings(model, source_image):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"guidance": 1.0}, "DDIM"),
        ({"steps": 101}, "steps=101"),
    ]
    for settings, named in wrong:
        with pytest.raises(SettingError, match=named):
            NoPivot(**settings)
    with pytest.raises(PromptError):
        NoPivot()(model, source_image, "")
