import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nulltext import psnr, reconstruct
from nulltext.errors import PromptError, SettingError
from nulltext.inversion.methods.random_pivot import RandomPivot
from nulltext.inversion.stopping import PAPER, PUBLISHED

PROMPT = "a red ball on grass"


def algorithm_1(plain, pivot, *, inner_steps, w, rates):
    """Algorithm 1 of arXiv 2211.09794 around any pivot, without an early stop."""
    nulls, null, z = [], plain.null, pivot[0]
    for i, (t, target) in enumerate(zip(plain.times, pivot[1:], strict=True)):
        null = null.detach().clone().requires_grad_(True)
        optimizer = torch.optim.Adam([null], lr=rates(i))
        for _ in range(inner_steps):
            loss = F.mse_loss(plain.land(z, t, null, plain.cond, w), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        nulls.append(null.detach())
        with torch.no_grad():
            z = plain.land(z, t, null, plain.cond, w)
    return torch.cat(nulls)


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_follows_algorithm_1_around_one_noise(any_model, source_image, plain):
    parts = plain(any_model, source_image.pixels, PROMPT, 4)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    pivot = parts.random_pivot(noise)
    nulls = algorithm_1(parts, pivot, inner_steps=3, w=7.5, rates=lambda i: 1e-2 * (1 - i / 100))
    inversion = RandomPivot(steps=4, inner_steps=3, seed=5)(any_model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, torch.cat(pivot), rtol=0, atol=1e-5)
    torch.testing.assert_close(inversion.replay.nulls, nulls, rtol=0, atol=1e-4)
    assert inversion.scores.psnr == pytest.approx(
        psnr(reconstruct(any_model, inversion), source_image.pixels), abs=0.01
    )


def test_takes_its_iterations_and_no_more(model, source_image, passes_with_gradient):
    with passes_with_gradient(model) as batches:
        RandomPivot(steps=4, inner_steps=3)(model, source_image, PROMPT)
    assert batches == [1] * 12


def test_the_seed_decides(model, source_image):
    first, again, other = (
        RandomPivot(steps=2, inner_steps=2, seed=seed)(model, source_image, PROMPT) for seed in (3, 3, 4)
    )
    assert torch.equal(first.pivot, again.pivot)
    torch.testing.assert_close(first.replay.nulls, again.replay.nulls, rtol=0, atol=0)
    assert not torch.allclose(first.pivot[0], other.pivot[0])
    assert torch.equal(first.pivot[-1], other.pivot[-1])


def test_the_record(model, source_image):
    inversion = RandomPivot(steps=2, inner_steps=1, guidance=3.0, seed=9, descent=PAPER)(model, source_image, PROMPT)
    assert (inversion.method, inversion.guidance, inversion.replay.cond) == ("RandomPivot", 3.0, None)
    assert inversion.settings == {
        "steps": 2, "inner_steps": 1, "guidance": 3.0, "negative_prompt": "",
        "descent": dataclasses.asdict(PAPER), "seed": 9
    }  # fmt: skip


def test_bad_prompts_and_settings(model, source_image):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"guidance": 1.0}, "DDIM"),
        ({"steps": 101}, "steps=101"),
    ]
    for settings, named in wrong:
        with pytest.raises(SettingError, match=named):
            RandomPivot(**settings)
    with pytest.raises(SettingError, match="learning_rate=-1"):
        dataclasses.replace(PUBLISHED, learning_rate=-1.0)
    with pytest.raises(PromptError):
        RandomPivot()(model, source_image, "")
