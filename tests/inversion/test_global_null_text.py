from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nulltext import DDIM, Progress, psnr, reconstruct
from nulltext.errors import PromptError, SettingError
from nulltext.inversion.methods.global_null_text import GlobalNullText

PROMPT = "a red ball on grass"


def algorithm_2(plain, *, passes, w, rate):
    """Algorithm 2 of arXiv 2211.09794, appendix D."""
    pivot, null = plain.ddim_pivot(), plain.null.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([null], lr=rate)
    for _ in range(passes):
        z = pivot[0]
        for t, target in zip(plain.times, pivot[1:], strict=True):
            loss = F.mse_loss(plain.land(z, t, null, plain.cond, w), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                z = plain.land(z, t, null, plain.cond, w)
    return torch.cat(pivot), null.detach()


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
@pytest.mark.parametrize("w", [7.5, 0.0])
def test_follows_algorithm_2(any_model, source_image, plain, w):
    expected_pivot, expected_null = algorithm_2(
        plain(any_model, source_image.pixels, PROMPT, 4), passes=3, w=w, rate=0.01
    )
    inversion = GlobalNullText(steps=4, inner_steps=3, guidance=w)(any_model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, expected_pivot, rtol=0, atol=1e-4)
    torch.testing.assert_close(inversion.replay.nulls, expected_null.expand(4, -1, -1), rtol=0, atol=1e-4)
    assert inversion.replay.cond is None


def test_ends_nearer_to_the_image_than_ddim_under_guidance(any_model, source_image, plain):
    parts = plain(any_model, source_image.pixels, PROMPT, 5)

    def error(nulls, pivot):
        return F.mse_loss(parts.sampled(pivot[:1], nulls, parts.cond, 7.5), pivot[-1:]).item()

    one = GlobalNullText(steps=5, inner_steps=10)(any_model, source_image, PROMPT)
    none = DDIM(steps=5)(any_model, source_image, PROMPT)
    assert torch.equal(one.pivot, none.pivot)
    assert error(one.replay.nulls.split(1), one.pivot) < 0.7 * error([parts.null] * 5, none.pivot)


def test_takes_its_iterations_and_no_more(model, source_image, passes_with_gradient):
    with passes_with_gradient(model) as batches:
        GlobalNullText(steps=4, inner_steps=3)(model, source_image, PROMPT)
    assert batches == [1] * 12


def test_the_record_and_the_file(model, source_image, tmp_path):
    inversion = GlobalNullText(steps=2, inner_steps=1)(model, source_image, PROMPT)
    assert (inversion.method, inversion.guidance) == ("GlobalNullText", 7.5)
    assert inversion.settings == {
        "steps": 2, "inner_steps": 1, "guidance": 7.5, "negative_prompt": "", "learning_rate": 0.01
    }  # fmt: skip
    back = type(inversion).load(inversion.save(tmp_path / "a.safetensors"))
    torch.testing.assert_close(back.replay.nulls, inversion.replay.nulls, rtol=0, atol=0)
    assert psnr(reconstruct(model, back), source_image.pixels) == pytest.approx(inversion.scores.psnr, abs=0.01)


def test_tells_its_progress(model, source_image):
    events: list[Progress] = []
    GlobalNullText(steps=2, inner_steps=2)(model, source_image, PROMPT, events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [
        *(("invert", step, 2) for step in (1, 2)),
        *(("optimise", step, 4) for step in (1, 2, 3, 4)),
        *(("sample", step, 2) for step in (1, 2)),
    ]
    assert all(event.loss is not None for event in events if event.phase == "optimise")


def test_bad_prompts_and_settings(model, source_image):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"guidance": 1.0}, "DDIM"),
        ({"learning_rate": 0.0}, "learning_rate=0"),
    ]
    for settings, named in wrong:
        with pytest.raises(SettingError, match=named):
            GlobalNullText(**settings)
    with pytest.raises(SettingError, match="steps=2000"):
        GlobalNullText(steps=2000)(model, source_image, PROMPT)
    with pytest.raises(PromptError):
        GlobalNullText()(model, source_image, " ")
