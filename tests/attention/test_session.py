"""A session changes what it should, and leaves the model as it found it."""

from collections.abc import Callable

import pytest
import torch
from diffusers import StableDiffusionPipeline

from nulltext.attention.control import Chain, Control
from nulltext.attention.layout import KeepLayout
from nulltext.attention.processors import ControlledProcessor
from nulltext.attention.record import Record
from nulltext.attention.session import controlled
from nulltext.attention.sites import Site, attention_modules, map_size
from nulltext.errors import SessionError
from nulltext.models.base import Model, ModelIdentity
from nulltext.models.parts import Parts
from nulltext.models.stable_diffusion import StableDiffusion
from nulltext.types import Probs


class Same:
    """Changes nothing, everywhere."""

    def __init__(self, kind: str | None = None) -> None:
        self.kind = kind
        self.seen: list[tuple[Site, int, torch.Size]] = []

    def wants(self, site: Site, step: int) -> bool:
        return self.kind in (None, site.kind)

    def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
        self.seen.append((site, step, probs.shape))
        return probs


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
        with controlled(any_model, Same(), prompts=2, latent_size=(8, 8)) as session:
            session.at(0)
            same = any_model.predict(x, t, text)
    torch.testing.assert_close(same, plain, rtol=1e-4, atol=1e-5)


def test_the_null_half_is_not_touched(model: Model):
    class Wipe(Same):
        def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
            return probs * 0

    x, t, text = inputs(model)
    with torch.no_grad():
        plain = model.predict(x, t, text)
        with controlled(model, Wipe(), prompts=2, latent_size=(8, 8)) as session:
            session.at(0)
            wiped = model.predict(x, t, text)
    torch.testing.assert_close(wiped[:2], plain[:2], rtol=1e-4, atol=1e-5)
    assert (wiped[2:] - plain[2:]).abs().max() > 1e-3


def test_only_wanted_sites_lose_the_fused_kernel(model: Model, monkeypatch: pytest.MonkeyPatch):
    x, t, text = inputs(model)
    fused: list[int] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counting(query: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        fused.append(len(query))
        return kernel(query, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counting)
    modules = attention_modules(model.denoiser)
    only_self = Same("self")
    with torch.no_grad(), controlled(model, only_self, prompts=2, latent_size=(8, 8)) as session:
        session.at(0)
        model.predict(x, t, text)
    wanted = {site.name for site, _, _ in only_self.seen}
    assert 0 < len(wanted) < len(modules)
    # A wanted site still fuses its null half of 2; all others the whole batch of 4.
    assert sorted(fused) == [2] * len(wanted) + [4] * (len(modules) - len(wanted))
    assert session.controlled == wanted


def test_a_control_sees_sites_steps_and_shapes(model: Model):
    x, t, text = inputs(model, prompts=1, size=(7, 5))
    control = Same()
    with torch.no_grad(), controlled(model, control, prompts=1, latent_size=(7, 5)) as session:
        session.at(3)
        model.predict(x, t, text)
    assert {step for _, step, _ in control.seen} == {3}
    for site, _, shape in control.seen:
        assert (site.rows, site.columns) in {(7, 5), (4, 3)}
        assert shape[0] == 1
        assert shape[2:] == (site.tokens, 24 if site.kind == "cross" else site.tokens)
    assert {site.kind for site, _, _ in control.seen} == {"cross", "self"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_very_same_processors_come_back(model: Model, error: type[BaseException]):
    before = processors(model)
    with controlled(model, Same(), prompts=2, latent_size=(8, 8)) as session:
        session.at(0)
        with torch.no_grad():
            model.predict(*inputs(model))
        assert all(isinstance(processor, ControlledProcessor) for processor in processors(model))
    assert all(a is b for a, b in zip(processors(model), before, strict=True))
    with pytest.raises(error), controlled(model, Same(), prompts=2, latent_size=(8, 8)):
        raise error
    assert all(a is b for a, b in zip(processors(model), before, strict=True))


def use(model: Model, control: Control, *, at: int | None = 0) -> None:
    with torch.no_grad(), controlled(model, control, prompts=2, latent_size=(8, 8)) as session:
        if at is not None:
            session.at(at)
        model.predict(*inputs(model))


def test_a_second_session_raises_and_the_first_goes_on(model: Model):
    before = processors(model)
    with controlled(model, Same(), prompts=2, latent_size=(8, 8)) as session:
        with pytest.raises(SessionError, match="controlled already"):
            use(model, Same())
        session.at(0)
        with torch.no_grad():
            model.predict(*inputs(model))
    assert all(a is b for a, b in zip(processors(model), before, strict=True))


def test_a_control_that_meets_nothing_raises(model: Model):
    with pytest.raises(SessionError, match="met none of the model's"):
        use(model, KeepLayout((0,), (range(5),), most_tokens=3))


def test_the_step_must_be_told(model: Model):
    with pytest.raises(SessionError, match=r"session\.at"):
        use(model, Same(), at=None)


def test_the_layout_is_the_sources(model: Model):
    keep = KeepLayout((0, 1), (range(2), range(1)), most_tokens=64)
    site = Site("a", "self", 8, 8)
    before = torch.rand(3, 2, 64, 64)
    after = keep(before, site, 0)
    assert torch.equal(after, before[[0, 0, 0]])
    assert torch.equal(keep(before, site, 1), before[[0, 0, 2]])  # the second keeps it for one step only
    assert keep.wants(site, 1)
    assert not keep.wants(site, 2)
    assert not keep.wants(Site("a", "self", 9, 8), 0)
    assert not keep.wants(Site("a", "cross", 8, 8), 0)


def test_a_record_holds_the_mean_over_sites_and_steps(model: Model):
    x, t, text = inputs(model)
    record = Record((8, 8))
    kept: list[torch.Tensor] = []

    class Keep(Same):
        def __call__(self, probs: Probs, site: Site, step: int) -> Probs:
            kept.append(probs)
            return probs

    with torch.no_grad(), controlled(model, Chain((Keep("cross"), record)), prompts=2, latent_size=(8, 8)) as session:
        for step in range(2):
            session.at(step)
            model.predict(x, t, text)
    finest = [probs.mean(1) for probs in kept if probs.shape[2] == 64]
    maps = record.maps()
    assert maps.shape == (2, 24, 8, 8)
    torch.testing.assert_close(maps.flatten(2).transpose(1, 2), torch.stack(finest).mean(0))
    torch.testing.assert_close(maps.sum(1), torch.ones(2, 8, 8))


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
        Parts.of(pipeline), ModelIdentity("tiny", "x"), device=torch.device("cpu"), dtype=torch.float32
    )
    test_nothing_changed_is_the_same_result(model)
