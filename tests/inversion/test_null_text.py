import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nulltext import DDIM, NullText, Progress, load
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.errors import Cancelled, EmptyPromptError, SettingError
from nulltext.inversion.stopping import PAPER, PUBLISHED, DescentSchedule
from nulltext.models.recommended import Recommended

PROMPT = "a red ball on grass"


def algorithm_1(model, pixels, prompt, *, steps, inner_steps, w, rates, stops):
    """Algorithm 1 of arXiv 2211.09794, step by step: the network called directly, DDIM from its formula."""
    unet = model.denoiser

    def embed(text):
        ids = model.text.tokenizer(
            text, padding="max_length", max_length=model.text.tokenizer.model_max_length, return_tensors="pt"
        ).input_ids
        return model.text.network(ids)[0].detach()

    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    a = torch.cumprod(1 - betas, 0)
    stride = 1000 // steps
    times = [1 + stride * i for i in range(steps)]  # ascending: t = 1 ... T
    v = model.prediction == "v_prediction"

    def ddim(z, out, a_from, a_to):
        if v:
            x0 = a_from.sqrt() * z - (1 - a_from).sqrt() * out
            eps = a_from.sqrt() * out + (1 - a_from).sqrt() * z
        else:
            x0, eps = (z - (1 - a_from).sqrt() * out) / a_from.sqrt(), out
        return a_to.sqrt() * x0 + (1 - a_to).sqrt() * eps

    def level(t):
        return a[t] if t >= 0 else a[0]

    cond, null = embed(prompt), embed("")
    with torch.no_grad():
        z = (
            model.autoencoder.network.encode(pixels).latent_dist.mode()
            * model.autoencoder.network.config.scaling_factor
        )
        pivot = [z]
        for t in times:  # DDIM inversion with w = 1
            z = ddim(z, unet(z, t, cond).sample, level(t - stride), level(t))
            pivot.append(z)

    nulls, z_bar, taken = [], pivot[-1], 0
    for i, t in enumerate(reversed(times)):
        goal = pivot[steps - 1 - i]
        null = null.clone().detach().requires_grad_(True)
        optimizer = torch.optim.Adam([null], lr=rates(i))
        for _ in range(inner_steps):
            out_cond, out_null = unet(z_bar, t, cond).sample.detach(), unet(z_bar, t, null).sample
            z_prev = ddim(z_bar, out_null + w * (out_cond - out_null), level(t), level(t - stride))
            loss = F.mse_loss(z_prev, goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken += 1
            if loss.item() < stops(i):
                break
        nulls.append(null.detach())
        with torch.no_grad():
            out_cond, out_null = unet(z_bar, t, cond).sample, unet(z_bar, t, null).sample
            z_bar = ddim(z_bar, out_null + w * (out_cond - out_null), level(t), level(t - stride))
    return torch.cat(pivot[::-1]), torch.cat(nulls), taken


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
@pytest.mark.parametrize(
    ("method", "rates", "stops"),
    [
        (NullText.published, lambda i: 1e-2 * (1 - i / 100), lambda i: 1e-5 + i * 2e-5),
        (NullText.paper, lambda _: 1e-2, lambda _: 1e-5),
    ],
    ids=["published", "paper"],
)
def test_follows_algorithm_1(any_model, source_image, method, rates, stops):
    expected_pivot, expected_nulls, _ = algorithm_1(
        any_model, source_image.pixels, PROMPT, steps=5, inner_steps=4, w=7.5, rates=rates, stops=stops
    )
    inversion = method(steps=5, inner_steps=4)(any_model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, expected_pivot, rtol=0, atol=1e-4)
    torch.testing.assert_close(inversion.replay.nulls, expected_nulls, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("w", "descent"),
    [
        (1.1, PUBLISHED),
        (1.1, PAPER),
        (7.5, DescentSchedule(learning_rate=1e-2, decay=1e-2, tolerance=1.7e-4, tolerance_growth=5.8e-4)),
    ],
    ids=["published", "paper", "two steps in their middle"],
)
def test_stops_where_algorithm_1_stops(folder, source_image, w, descent):
    model = load(folder("v_prediction"), device="cpu")  # whose losses come down to the tolerances
    expected_pivot, expected_nulls, taken = algorithm_1(
        model,
        source_image.pixels,
        PROMPT,
        steps=10,
        inner_steps=5,
        w=w,
        rates=lambda i: descent.learning_rate * (1 - descent.decay * i),
        stops=lambda i: descent.tolerance + descent.tolerance_growth * i,
    )
    assert 10 < taken < 50
    inversion = NullText(steps=10, inner_steps=5, guidance=w, descent=descent)(model, source_image, PROMPT)
    torch.testing.assert_close(inversion.pivot, expected_pivot, rtol=0, atol=1e-4)
    torch.testing.assert_close(inversion.replay.nulls, expected_nulls, rtol=0, atol=1e-4)


def test_the_default_is_the_published_preset(model):
    assert NullText() == NullText.published() == NullText(steps=50, inner_steps=10, descent=PUBLISHED)
    assert model.guidance == 7.5
    assert dataclasses.asdict(NullText.paper())["descent"] == {
        "learning_rate": 1e-2, "decay": 0.0, "tolerance": 1e-5, "tolerance_growth": 0.0
    }  # fmt: skip


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_ends_nearer_to_the_image_than_ddim_under_guidance(any_model, source_image):
    guided = Guided(any_model, any_model.embed([PROMPT]), 7.5)

    def error(inversion):
        own = inversion.replay.nulls
        null = any_model.null()
        nulls = [null] * 5 if own is None else [null.with_text(text) for text in own.split(1)]
        z0 = sample(guided, inversion.schedule, inversion.pivot[:1], nulls)
        return F.mse_loss(z0, inversion.pivot[-1:]).item()

    nulled = NullText(steps=5)(any_model, source_image, PROMPT)
    plain = DDIM(steps=5)(any_model, source_image, PROMPT)
    assert torch.equal(nulled.pivot, plain.pivot)
    assert error(nulled) < 0.5 * error(plain)


def test_stops_at_once_at_any_loss_below_the_tolerance(model, source_image):
    at_once = dataclasses.replace(PUBLISHED, tolerance=1e9)
    events: list[Progress] = []
    early: Any = NullText(steps=3, inner_steps=10, descent=at_once)(model, source_image, PROMPT, events.append)
    assert [event.step for event in events if event.phase == "optimise"] == [1, 2, 3]
    assert all(event.loss is not None for event in events if event.phase == "optimise")
    once = NullText(steps=3, inner_steps=1)(model, source_image, PROMPT)
    torch.testing.assert_close(early.replay.nulls, once.replay.nulls, rtol=0, atol=0)
    longer: Any = NullText(steps=3, inner_steps=2)(model, source_image, PROMPT).replay.nulls
    assert not torch.equal(longer, early.replay.nulls)


def test_tells_its_progress_in_order(model, source_image):
    events: list[Progress] = []
    NullText(steps=2, inner_steps=1)(model, source_image, PROMPT, events.append)
    assert [(event.phase, event.step, event.total) for event in events] == [
        ("invert", 1, 2),
        ("invert", 2, 2),
        ("optimise", 1, 2),
        ("optimise", 2, 2),
    ]


def test_a_callback_that_raises_stops_it(model, source_image):
    def stop(event):
        if event.phase == "optimise":
            raise Cancelled

    with pytest.raises(Cancelled):
        NullText(steps=2, inner_steps=1)(model, source_image, PROMPT, stop)


def test_leaves_the_weights_alone(model, source_image):
    before = {name: weight.clone() for name, weight in model.denoiser.named_parameters()}
    NullText(steps=2, inner_steps=2)(model, source_image, PROMPT)
    for name, weight in model.denoiser.named_parameters():
        assert weight.grad is None
        assert torch.equal(weight, before[name])


def test_is_repeatable(model, source_image):
    first, second = (NullText(steps=2, inner_steps=2)(model, source_image, PROMPT) for _ in range(2))
    torch.testing.assert_close(first.replay.nulls, second.replay.nulls, rtol=0, atol=0)


def test_works_inside_no_grad(model, source_image):
    with torch.no_grad():
        inside = NullText(steps=2, inner_steps=2)(model, source_image, PROMPT)
    outside = NullText(steps=2, inner_steps=2)(model, source_image, PROMPT)
    torch.testing.assert_close(inside.replay.nulls, outside.replay.nulls, rtol=0, atol=0)


def test_settings_out_of_range():
    with pytest.raises(SettingError, match="inner_steps=0"):
        NullText(inner_steps=0)
    with pytest.raises(SettingError, match="DDIM"):
        NullText(guidance=1.0)
    with pytest.raises(SettingError, match="paper"):
        NullText(steps=101)
    assert NullText.paper(steps=101).steps == 101


def test_an_empty_prompt(model, source_image):
    with pytest.raises(EmptyPromptError):
        NullText()(model, source_image, "  ")


def test_the_guidance_is_the_models_own_unless_it_is_given(model, source_image):
    other = dataclasses.replace(model, recommended=Recommended(guidance=3.0))
    for method, w in ((NullText(steps=1, inner_steps=1), 3.0), (NullText(steps=1, inner_steps=1, guidance=5.0), 5.0)):
        inversion = method(other, source_image, PROMPT)
        assert inversion.guidance == inversion.settings["guidance"] == w


def test_a_step_costs_its_inner_steps_and_two_evaluations(model, source_image):
    from nulltext.bench.cost import measured

    _, cost = measured(model, lambda: NullText(steps=5, inner_steps=2, guidance=3.0)(model, source_image, PROMPT))
    assert (cost.forwards, cost.backwards) == (5 + 5 * (1 + 2 + 1), 10)
