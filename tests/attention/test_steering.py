"""Controls change what they should, and leave the model as they found it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from nulltext.attention.control import Attention, Chain, Control
from nulltext.attention.keep_layout import KeepLayout
from nulltext.attention.record import Record
from nulltext.attention.sites import Site, attention_modules, map_size
from nulltext.attention.steering import Steering, steered
from nulltext.attention.unet import SteeredProcessor
from nulltext.errors import SessionError
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.build import Build
from nulltext.models.parts import Parts
from nulltext.models.stable_diffusion import StableDiffusion


class Same:
    """Asks for the probabilities everywhere, and changes nothing."""

    def __init__(self, kind: str | None = None) -> None:
        self.kind = kind
        self.seen: list[tuple[Site, int, torch.Size]] = []

    def wants(self, site: Site, step: int) -> bool:
        return self.kind in (None, site.kind)

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        self.seen.append((site, step, attention.probs().shape))
        return attention


class Wipe(Same):
    """Nothing is looked at any more."""

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        return attention.with_probs(attention.probs() * 0)


def steering(control: Control, prompts: int = 2, size: tuple[int, int] = (8, 8)) -> Steering:
    return Steering(control, prompts=prompts, latent_size=size)


def inputs(model: Model, prompts: int = 2, size: tuple[int, int] = (8, 8)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * prompts, 4, *size, generator=generator)
    text = model.embed(["", "", "a cat", "a dog"][: 2 * prompts])
    return x, 500.0, text


def processors(model: Model) -> list[object]:
    return [module.processor for module in attention_modules(model.denoiser).values()]


def test_nothing_changed_is_the_same_result(any_model: Model):
    x, t, text = inputs(any_model)
    with torch.no_grad():
        plain = any_model.predict(x, t, text)
        same = any_model.predict(x, t, text, [(4, steering(Same()).at(0))])
    torch.testing.assert_close(same, plain, rtol=1e-4, atol=1e-5)


def test_the_null_branch_is_not_touched(model: Model):
    x, t, text = inputs(model)
    with torch.no_grad():
        plain = model.predict(x, t, text)
        wiped = model.predict(x, t, text, [(4, steering(Wipe()).at(0))])
    torch.testing.assert_close(wiped[:2], plain[:2], rtol=1e-4, atol=1e-5)
    assert (wiped[2:] - plain[2:]).abs().max() > 1e-3


def fused_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of the fused kernel from now on."""
    fused: list[int] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counting(query: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        fused.append(len(query))
        return kernel(query, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counting)
    return fused


def test_only_wanted_sites_lose_the_fused_kernel(model: Model, monkeypatch: pytest.MonkeyPatch):
    fused, modules = fused_rows(monkeypatch), attention_modules(model.denoiser)
    x, t, text = inputs(model)
    fused.clear()
    only_self: Any = steering(Same("self"))
    with torch.no_grad():
        model.predict(x, t, text, [(4, only_self.at(0))])
    wanted = {site.name for site, _, _ in only_self.control.seen}
    assert 0 < len(wanted) < len(modules)
    # A wanted site still fuses its null branch of 2; all others the whole batch of 4.
    assert sorted(fused) == [2] * len(wanted) + [4] * (len(modules) - len(wanted))
    assert only_self.met == wanted


def test_of_a_batch_only_rows_whose_control_wants_the_site_lose_the_fused_kernel(
    model: Model, monkeypatch: pytest.MonkeyPatch
):
    fused, modules = fused_rows(monkeypatch), attention_modules(model.denoiser)
    x, t, text = inputs(model)
    fused.clear()
    plan = [(1, None), (1, steering(Same("self"), 1).at(0)), (2, steering(Same("cross"), 1).at(0))]
    with torch.no_grad():
        model.predict(x, t, text, plan)
    # Where "self" is wanted, by the second row: the first, then the two of the last image, fused. Where "cross" is, by
    # the last row: the first two, which are neighbours, then the null branch of the last.
    own = sum(name.endswith("attn1") for name in modules)
    assert sorted(fused) == sorted([1, 2] * own + [2, 1] * (len(modules) - own))


def test_a_control_that_looks_at_nothing_keeps_the_fused_kernel(model: Model, monkeypatch: pytest.MonkeyPatch):
    class Glance(Same):
        def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
            return attention

    x, t, text = inputs(model)
    with torch.no_grad():
        plain = model.predict(x, t, text)
        fused = fused_rows(monkeypatch)
        assert torch.equal(model.predict(x, t, text, [(4, steering(Glance()).at(0))]), plain)
    assert fused == [4] * len(attention_modules(model.denoiser))


@pytest.mark.parametrize(("prompts", "rows", "branches"), [(1, 1, ("cond",)), (1, 2, ("null", "cond"))])
def test_a_control_sees_sites_steps_and_shapes(model: Model, prompts: int, rows: int, branches: tuple[str, ...]):
    class Looking(Same):
        def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
            assert attention.branches == branches
            assert attention.query.shape[:2] == (rows, prompts)
            return super().__call__(attention, site, step)

    x, t, text = inputs(model, prompts=1, size=(7, 5))
    control = Looking()
    with torch.no_grad():
        model.predict(x[:rows], t, text[:rows], [(rows, steering(control, prompts, (7, 5)).at(3))])
    assert {step for _, step, _ in control.seen} == {3}
    for site, _, shape in control.seen:
        assert (site.rows, site.columns) in {(7, 5), (4, 3)}
        assert shape[0] == prompts
        assert shape[2:] == (site.tokens, 24 if site.kind == "cross" else site.tokens)
    assert {site.kind for site, _, _ in control.seen} == {"cross", "self"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_very_same_processors_come_back(model: Model, error: type[BaseException]):
    during: list[bool] = []

    class Failing(Same):
        def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
            during.extend(isinstance(processor, SteeredProcessor) for processor in processors(model))
            if step:
                raise error
            return attention

    before, run = processors(model), steering(Failing())
    with torch.no_grad():
        model.predict(*inputs(model), [(4, run.at(0))])
    assert all(a is b for a, b in zip(processors(model), before, strict=True))
    with torch.no_grad(), pytest.raises(error):
        model.predict(*inputs(model), [(4, run.at(1))])
    assert all(a is b for a, b in zip(processors(model), before, strict=True))
    assert during
    assert all(during)


def test_an_evaluation_within_a_controls_own_raises_and_all_is_put_back(model: Model):
    class Nested(Same):
        def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
            model.predict(*inputs(model), [(4, steering(Same()).at(0))])
            return attention

    before = processors(model)
    with torch.no_grad(), pytest.raises(SessionError, match="one evaluation at a time"):
        model.predict(*inputs(model), [(4, steering(Nested()).at(0))])
    assert all(a is b for a, b in zip(processors(model), before, strict=True))


def test_a_run_whose_control_meets_nothing_raises(model: Model):
    idle = steering(KeepLayout((0,), (range(5),), most_tokens=3))
    with torch.no_grad():
        model.predict(*inputs(model), [(4, idle.at(0))])
    with pytest.raises(SessionError, match="met none of the model's"):
        idle.check()
    busy = steering(KeepLayout((0,), (range(5),), most_tokens=64))
    with torch.no_grad():
        model.predict(*inputs(model), [(4, busy.at(0))])
    busy.check()


def test_a_network_without_attention_raises():
    with (
        pytest.raises(SessionError, match="Linear has no attention"),
        steered(torch.nn.Linear(1, 1), [(2, steering(Same()).at(0))]),
    ):
        pass


@pytest.mark.parametrize(
    ("rows", "message"),
    [([3], "3 rows for an image of 2 prompts; expected 2 or 4"), ([2], "of 2 rows for a batch of 4"), ([4, 2], "of 6")],
)
def test_a_plan_that_does_not_fit_the_batch_raises(model: Model, rows: list[int], message: str):
    before = processors(model)
    with torch.no_grad(), pytest.raises(SessionError, match=message):
        model.predict(*inputs(model), [(count, steering(Same()).at(0)) for count in rows])
    assert processors(model) == before


def test_what_is_no_steering_raises(model: Model):
    class Stranger:
        error = None

    with torch.no_grad(), pytest.raises(SessionError, match=r"got Stranger in an attention plan.*Steering\.at"):
        model.predict(*inputs(model), [(4, Stranger())])


def attention(branches: int = 2) -> Attention:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(branches, 3, 2, tokens, 4, generator=generator) for tokens in (16, 6, 6))
    return Attention(query=query, key=key, value=value, scale=0.5)


def test_attention_is_that_of_its_branch():
    own = attention()
    scores = torch.einsum("bphqw,bphkw->bphqk", own.query, own.key) * 0.5
    expected = scores.softmax(-1)
    torch.testing.assert_close(own.probs("null"), expected[0])
    torch.testing.assert_close(own.probs(), expected[1])
    torch.testing.assert_close(own.output(), expected @ own.value)
    torch.testing.assert_close(attention().output(), expected @ own.value)  # fused
    wiped = own.with_probs(torch.zeros_like(expected[0]), "null")
    assert not wiped.output()[0].any()
    torch.testing.assert_close(wiped.output()[1], own.output()[1])
    torch.testing.assert_close(own.probs("null"), expected[0])  # which stays as it was


def test_attention_with_other_keys_and_values():
    own = attention()
    own.probs()
    both = own.with_key_value(
        torch.cat([own.key, own.key[:, :1].expand_as(own.key)], 3), own.value.repeat(1, 1, 1, 2, 1)
    )
    assert both.probs().shape == (3, 2, 16, 12)
    torch.testing.assert_close(both.probs("null")[0, ..., :6].sum(-1), torch.full((2, 16), 0.5))
    with pytest.raises(SessionError, match="in front of the chain"):
        own.with_probs(own.probs()).with_key_value(own.key, own.value)


def test_attention_that_is_not_there_or_does_not_fit_raises():
    with pytest.raises(SessionError, match="branch 'null' where there is only cond"):
        attention(1).probs("null")
    with pytest.raises(SessionError, match="branch 'null'"):
        attention(1).with_probs(attention().probs("null"), "null")
    with pytest.raises(SessionError, match=r"shape \[2, 2, 16, 6\]; expected \[3, 2, 16, 6\]"):
        attention().with_probs(attention().probs()[1:])


def test_the_layout_is_the_sources(model: Model):
    keep = KeepLayout((0, 1), (range(2), range(1)), most_tokens=64)
    site = Site("a", "self", 8, 8)
    states = torch.randn(1, 3, 2, 64, 4, generator=torch.Generator().manual_seed(0))
    own = Attention(query=states, key=states, value=states, scale=1.0)
    before = own.probs()
    assert torch.equal(keep(own, site, 0).probs(), before[[0, 0, 0]])
    assert torch.equal(keep(own, site, 1).probs(), before[[0, 0, 2]])  # the second keeps it for one step only
    assert torch.equal(own.probs(), before)
    assert keep.wants(site, 1)
    assert not keep.wants(site, 2)
    assert not keep.wants(Site("a", "self", 9, 8), 0)
    assert not keep.wants(Site("a", "cross", 8, 8), 0)


def test_a_record_holds_the_mean_over_sites_and_steps(model: Model):
    x, t, text = inputs(model)
    record = Record((8, 8))
    kept: list[torch.Tensor] = []

    class Keep(Same):
        def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
            kept.append(attention.probs())
            return attention

    run = steering(Chain((Keep("cross"), record)))
    with torch.no_grad():
        for step in range(2):
            model.predict(x, t, text, [(4, run.at(step))])
    finest = [probs.mean(1) for probs in kept if probs.shape[2] == 64]
    maps = record.maps()
    assert maps.shape == (2, 24, 8, 8)
    torch.testing.assert_close(maps.flatten(2).transpose(1, 2), torch.stack(finest).mean(0))
    torch.testing.assert_close(maps.sum(1), torch.ones(2, 8, 8))
    with torch.no_grad():  # as a batch that did not fit is
        model.predict(x * 2, t, text, [(4, run.at(2))])
        model.predict(x, t, text, [(4, run.at(2))])
    torch.testing.assert_close(record.maps(), maps)


@pytest.mark.parametrize(
    ("latents", "tokens"),
    [
        *(((64, 64), 256), ((16, 16), 256), ((96, 96), 576), ((128, 128), 1024), ((64, 96), 384)),
        *(((17, 30), 135), ((34, 60), 135), ((21, 23), 483)),  # rounding up, two levels are within a factor of 2
    ],
)
def test_maps_are_recorded_where_there_is_something_to_see(latents: tuple[int, int], tokens: int):
    record = Record(latents)
    rows, columns = latents
    wanted = []
    while rows * columns > 1:
        if record.wants(Site("a", "cross", rows, columns), 0):
            wanted.append(rows * columns)
        rows, columns = -(-rows // 2), -(-columns // 2)
    assert wanted == [tokens]


@pytest.mark.parametrize(
    ("tokens", "latents", "expected"),
    [
        (4096, (64, 64), (64, 64)),
        (256, (64, 64), (16, 16)),
        (12, (7, 5), (4, 3)),
        (13, (7, 5), None),
        (1, (64, 64), (1, 1)),
        (600, (96, 100), (24, 25)),
    ],
)
def test_map_sizes_follow_from_the_latents(tokens: int, latents: tuple[int, int], expected: tuple[int, int] | None):
    assert map_size(tokens, latents) == expected


def test_upcast_and_linear_projection_models_are_controlled_alike(
    pipeline_builder: Callable[..., StableDiffusionPipeline],
):
    pipeline = pipeline_builder("v_prediction", use_linear_projection=True, upcast_attention=True)
    model = StableDiffusion.from_parts(
        Parts.of(pipeline), Build(identity=ModelIdentity("tiny", "x"), device=torch.device("cpu"), dtype=torch.float32)
    )
    test_nothing_changed_is_the_same_result(model)
