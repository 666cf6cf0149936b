"""Images with controls of their own, and with none, in one batch of the network."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nulltext.attention.control import Attention, Chain, Control
from nulltext.attention.follow import Follow
from nulltext.attention.keep_layout import KeepLayout
from nulltext.attention.keys_values import MutualSelfAttention
from nulltext.attention.record import Record
from nulltext.attention.refine import Refine
from nulltext.attention.replace import Replace
from nulltext.attention.reweight import Reweight
from nulltext.attention.sites import Site, attention_modules
from nulltext.attention.steering import Steering
from nulltext.attention.word_steps import WordSteps
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.sampling import sample
from nulltext.diffusion.sharing import share
from nulltext.models.base import Model
from nulltext.text.alignment import pair_words

LENGTH, STEPS = 24, 3
SQUARE, WIDE = (8, 8), (8, 12)
SWAPPED = ("a cat on grass", "a dog on grass")
ADDED = ("a cat on grass", "a red cat on grass", "a blue cat on grass")


def when(model: Model, targets: Sequence[str], share_of_steps: float = 1.0) -> WordSteps:
    tokens = [model.tokenize(target) for target in targets]
    return WordSteps.of(tokens, [{"": share_of_steps}] * len(targets), steps=STEPS, length=LENGTH)


def replace(model: Model) -> Follow:
    source, target = (model.tokenize(prompt) for prompt in SWAPPED)
    pairs: Any = pair_words(source, target)
    return Follow((Replace.of(source, target, pairs, LENGTH),), (0,), when(model, SWAPPED[1:], 0.7))


def refine(model: Model) -> Follow:
    source, *targets = (model.tokenize(prompt) for prompt in ADDED)
    edits = tuple(Refine.of(source, target, LENGTH) for target in targets)
    return Follow(edits, (0, 0), when(model, ADDED[1:]))


class Watch:
    """Changes nothing, and keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def wants(self, site: Site, step: int) -> bool:
        return True

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        self.seen.append(torch.cat([attention.query.flatten(), attention.key.flatten(), attention.probs().flatten()]))
        return attention


class Failing(Watch):
    """Fails in the middle of the second step."""

    def wants(self, site: Site, step: int) -> bool:
        return step == 1 and site.name.startswith("up_blocks")

    def __call__(self, attention: Attention, site: Site, step: int) -> Attention:
        raise ZeroDivisionError("a control's own")


class Sampling:
    """An image to sample under prompts and, if any, a control."""

    def __init__(
        self,
        model: Model,
        prompts: Sequence[str],
        control: Control | None,
        *,
        w: float = 3.0,
        size=SQUARE,
        seed: int = 0,
    ) -> None:
        self.model, self.cond, self.w = model, model.embed(prompts), w
        self.x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(seed)).expand(
            len(prompts), -1, -1, -1
        )
        self.control = control
        self.steering = None if control is None else Steering(control, prompts=len(prompts), latent_size=size)

    def __call__(self, denoiser) -> Tensor:
        nulls = [self.model.embed([""])] * STEPS
        schedule = self.model.schedule(STEPS)
        return sample(Guided(denoiser, self.cond, self.w), schedule, self.x, nulls, steering=self.steering)

    def caught(self, denoiser) -> Tensor | Exception:
        try:
            return self(denoiser)
        except ZeroDivisionError as error:
            return error


def images(model: Model) -> list[Sampling]:
    """Of two sizes; with other controls, numbers of prompts and guidance."""
    factors = torch.ones(1, LENGTH)
    factors[0, model.tokenize(SWAPPED[1]).find("dog")] = 3.0
    stronger = Chain((replace(model), Reweight(factors, when(model, SWAPPED[1:], 0.7))))
    mutual = MutualSelfAttention.of(model.denoiser, first_step=1, first_layer=1)
    return [
        Sampling(model, SWAPPED, replace(model), seed=1),
        Sampling(model, ADDED, refine(model), seed=2),
        Sampling(model, SWAPPED[:1], None, seed=3),
        Sampling(model, SWAPPED, stronger, seed=4),
        Sampling(model, SWAPPED, KeepLayout((0,), (range(2),), most_tokens=64), seed=5),
        Sampling(model, SWAPPED[:1], Record(SQUARE), w=1.0, seed=6),
        Sampling(model, SWAPPED, None, seed=7),
        Sampling(model, ADDED, mutual, seed=8),
        Sampling(model, SWAPPED[:1], Watch(), seed=9),
        Sampling(model, SWAPPED, Chain((replace(model), Record(WIDE))), size=WIDE, seed=10),
        Sampling(model, SWAPPED, None, size=WIDE, seed=11),
    ]


class Counting:
    """The model, and how many rows it was asked about at a time; after those it may have no memory for so many."""

    def __init__(self, model: Model, room: int = 1000) -> None:
        self.model, self.prediction, self.room, self.batches = model, model.prediction, room, list[int]()

    def predict(self, x, t, text, attention=()):
        self.batches.append(len(x))
        answer = self.model.predict(x, t, text, attention)
        if len(x) > self.room:  # late, when controls have been asked
            raise torch.OutOfMemoryError("no room")
        return answer


@pytest.fixture
def processors(model: Model):
    """Makes sure that the very same processors are there at the end."""

    def present() -> list[object]:
        return [module.processor for module in attention_modules(model.denoiser).values()]

    before = present()
    yield
    assert all(a is b for a, b in zip(present(), before, strict=True))


@pytest.fixture(scope="module")
def single(model: Model) -> list[tuple[Sampling, Tensor]]:
    """What each image gives by itself."""
    return [(image, image(model)) for image in images(model)]


def close(found: object, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("room", [1000, 12])
def test_images_with_different_controls_share_batches(model: Model, single, processors: None, room: int):
    counting: Any = Counting(model, room)
    batched: Any = images(model)
    results = dict(share(counting, batched, len(batched)))
    for index, (_, expected) in enumerate(single):
        close(results[index], expected)
    for image in batched:
        if image.steering is not None:
            image.steering.check()

    record, watch = batched[5].control, batched[8].control
    close(record.maps(), single[5][0].control.maps())
    close(batched[9].control.controls[1].maps(), single[9][0].control.controls[1].maps())
    # What it was shown is its own: a batch that was evaluated again showed it the same again.
    own = single[8][0].control.seen
    assert len(watch.seen) == len(own) if room == 1000 else len(watch.seen) >= len(own)
    for seen in watch.seen:
        assert any(seen.shape == other.shape and torch.allclose(seen, other, rtol=0, atol=1e-4) for other in own)


def test_controls_change_something(model: Model, single):
    """Or else the tests beside this one would show nothing."""
    for image, result in single:
        if not isinstance(image.control, Record | Watch | None):
            image.steering = None
            assert ((image(model) - result)[1:].abs().amax((1, 2, 3)) > 1e-3).all()


def test_batches_are_as_full_as_without_controls(model: Model):
    batches: list[list[int]] = []
    for plain in (False, True):
        counting: Any = Counting(model)
        batched: Any = images(model)
        for image in batched:
            image.steering = None if plain else image.steering
        list(share(counting, batched, len(batched)))
        batches.append(counting.batches)
    assert batches[0] == batches[1] == [4 + 6 + 2 + 4 + 4 + 1 + 4 + 6 + 2] * STEPS + [4 + 4] * STEPS


def test_a_control_that_fails_stops_its_own_image_only(model: Model, single, processors: None):
    batched: Any = images(model)
    works: list[Callable[..., object]] = [*batched, Sampling(model, SWAPPED, Failing()).caught]
    results = dict(share(model, works, len(works)))
    assert isinstance(results[len(batched)], ZeroDivisionError)
    for index, (_, expected) in enumerate(single):
        close(results[index], expected)
    close(batched[5].control.maps(), single[5][0].control.maps())


def test_a_failure_that_nobody_catches_is_the_controls_own(model: Model, processors: None):
    works = [Sampling(model, SWAPPED[:1], None), Sampling(model, SWAPPED, Failing())]
    with pytest.raises(ZeroDivisionError, match="a control's own"):
        list(share(model, works, 2))
    with pytest.raises(ZeroDivisionError, match="a control's own"):
        works[1](model)
