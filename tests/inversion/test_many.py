import dataclasses
import inspect

import numpy as np
import pytest
import torch
from PIL import Image

import nulltext
from nulltext import (
    DDIM,
    DirectInversion,
    GlobalNullText,
    NoPivot,
    NullText,
    ParallelNullText,
    RandomPivot,
    TextualInversion,
    invert_many,
)
from nulltext.errors import (
    Cancelled,
    DivergedError,
    ImageError,
    ImagesFailedError,
    OutOfMemoryError,
    PromptError,
    PromptTooLongError,
    SettingError,
)

PROMPTS = ("a red ball on grass", "a cat", "a photo of a dog on grass", "a blue ball", "grass")
METHODS = (
    DDIM(steps=2),
    DirectInversion(steps=2),
    NullText(steps=2, inner_steps=2, guidance=3.0),
    GlobalNullText(steps=2, inner_steps=2, guidance=3.0),
    RandomPivot(steps=2, inner_steps=2, guidance=3.0),
    NoPivot(steps=2, inner_steps=2, guidance=3.0),
    ParallelNullText(steps=2, inner_steps=2, guidance=3.0),
    TextualInversion(steps=2, inner_steps=2, guidance=3.0),
    TextualInversion(steps=2, inner_steps=2, guidance=3.0, pivot=True),
)


def image(seed, height=64, width=64):
    """Soft blotches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def images(model):
    return [(nulltext.open_image(image(seed), model), prompt) for seed, prompt in enumerate(PROMPTS)]


def same(one, other):
    assert one.replay.record() == other.replay.record()
    mine, others = ({"pivot": each.pivot, **each.replay.tensors()} for each in (one, other))
    assert mine.keys() == others.keys()
    for name, tensor in mine.items():
        # Adam takes steps of the same length however small a gradient is, and of the least all that is left can be
        # rounding: a number in ten thousand may differ by a hundredth of a step more.
        off = (tensor - others[name]).abs()
        assert off.max() < 5e-4
        assert (off > 1e-4).float().mean() < 1e-3
    assert one.scores.psnr == pytest.approx(other.scores.psnr, abs=1e-2)
    assert (one.prompt, one.sha256, one.settings) == (other.prompt, other.sha256, other.settings)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{type(method).__name__}{getattr(method, 'pivot', '')}")
def test_a_result_does_not_depend_on_its_neighbours(model, images, method):
    """Two at once, three images: each has another beside it, and the third takes a place that was left."""
    batched = dict(invert_many(model, method, images[:3], at_once=2))
    assert sorted(batched) == [0, 1, 2]
    for index, (source_image, prompt) in enumerate(images[:3]):
        same(batched[index], method(model, source_image, prompt))


def test_each_stops_early_at_its_own_pace(model, images, passes_with_gradient):
    """A tolerance that some images meet at once and others never: batches are filled from what is left."""
    source_image, prompt = images[0]
    method = NullText(
        steps=3,
        inner_steps=4,
        guidance=3.0,
        descent=nulltext.DescentSchedule(learning_rate=1e-2, decay=0.0, tolerance=6e-2, tolerance_growth=0.0),
    )
    singles = []
    for image in images:
        with passes_with_gradient(model) as batches:
            method(model, *image)
        singles.append(len(batches))
    assert len(set(singles)) > 1, "the images must differ in the iterations they need, or this shows nothing"
    with passes_with_gradient(model) as batches:
        batched = dict(invert_many(model, method, images, at_once=3))
    assert sum(batches) == sum(singles)
    assert max(batches) == 3
    assert len(batches) < sum(singles)
    same(batched[0], method(model, source_image, prompt))


def test_sizes_may_be_mixed(model):
    sizes = ((64, 64), (64, 96), (64, 64))
    images = [(nulltext.open_image(image(seed, *size), model, size=size), "a cat") for seed, size in enumerate(sizes)]
    method = NullText(steps=2, inner_steps=2, guidance=3.0)
    batched = dict(invert_many(model, method, images, at_once=3))
    for index, (source_image, prompt) in enumerate(images):
        same(batched[index], method(model, source_image, prompt))


def test_images_are_opened_as_there_is_room(model, images):
    opened = []

    def opening():
        for index, image in enumerate(images):
            opened.append(index)
            yield image

    results = invert_many(model, DDIM(steps=2), opening(), at_once=2)
    assert opened == []
    next(results)
    assert opened == [0, 1]
    assert len(list(results)) == 4


def test_progress_says_which_image(model, images):
    events = []
    list(invert_many(model, DDIM(steps=2), images[:2], at_once=2, on_progress=events.append))
    assert {event.image for event in events} == {1, 2}
    assert [event.step for event in events if event.image == 2 and event.phase == "invert"] == [1, 2]


def test_bad_settings(model, images):
    with pytest.raises(SettingError, match=r"at_once=0.*at least 1"):
        list(invert_many(model, DDIM(steps=2), images, at_once=0))
    with pytest.raises(SettingError, match="'raise' or 'return'"):
        inspect.unwrap(invert_many)(model, DDIM(steps=2), images, errors="ignore")
    assert list(invert_many(model, DDIM(steps=2), [])) == []


def bad_prompt(model, images):
    return images[2][0], " "


def long_prompt(model, images):
    return images[2][0], "a red ball on grass " * 12


def other_models_image(model, images):
    return dataclasses.replace(images[2][0], pixels=images[2][0].pixels[..., :60]), "a cat"


def diverging(model, images):
    """A photograph so bright that the network overflows: in place, past the check of its constructor."""
    source_image = nulltext.open_image(image(9), model)
    source_image.pixels.fill_(1e30)
    return source_image, "a cat"


WRONG_FROM_THE_START = {bad_prompt: PromptError, long_prompt: PromptTooLongError, other_models_image: ImageError}
WRONG_ON_THE_WAY = {diverging: DivergedError}


@pytest.mark.parametrize("wrong", WRONG_FROM_THE_START | WRONG_ON_THE_WAY, ids=lambda wrong: wrong.__name__)
@pytest.mark.parametrize("lazily", [False, True], ids=["list", "iterator"])
def test_one_bad_image_loses_no_other(model, images, wrong, lazily):
    kind = (WRONG_FROM_THE_START | WRONG_ON_THE_WAY)[wrong]
    mixed = [*images[:2], wrong(model, images), *images[3:]]

    def given():
        return iter(mixed) if lazily else mixed

    made = dict(invert_many(model, DDIM(steps=2), given(), at_once=2, errors="return"))
    assert sorted(made) == [0, 1, 2, 3, 4]
    assert isinstance(made.pop(2), kind)
    for index, inversion in made.items():
        same(inversion, DDIM(steps=2)(model, *images[index]))

    events = []
    with pytest.raises(ImagesFailedError, match="number 2") as caught:
        list(invert_many(model, DDIM(steps=2), given(), at_once=2, on_progress=events.append))
    assert isinstance(caught.value.errors[2], kind)
    if lazily or wrong in WRONG_ON_THE_WAY:
        assert sorted(caught.value.results) == [0, 1, 3, 4]
        same(caught.value.results[4], made[4])
    else:
        assert events == [], "it was known, and yet work was begun"
        assert caught.value.results == {}


@pytest.mark.filterwarnings("ignore:the model was made for images")
def test_no_memory_for_one_image_loses_no_other(model, images, monkeypatch):
    """The network refuses the one large image, as a full device does."""
    large = nulltext.open_image(image(9, 128, 128), model, size=(128, 128)), "a cat"
    forward = model.denoiser.forward

    def short(x, *args, **kwargs):
        if x.shape[-1] > 8:
            raise torch.OutOfMemoryError("out of memory")
        return forward(x, *args, **kwargs)

    monkeypatch.setattr(model.denoiser, "forward", short)
    made = dict(invert_many(model, DDIM(steps=2), [images[0], large, images[1]], errors="return"))
    assert isinstance(made[1], OutOfMemoryError)
    assert made[1].__cause__.__traceback__ is None, "it holds what the network had computed"
    for index, number in {0: 0, 2: 1}.items():
        same(made[index], DDIM(steps=2)(model, *images[number]))


def test_an_iterator_that_fails_loses_nothing_under_way(model, images):
    def opening():
        yield from images[:2]
        yield nulltext.open_image("nowhere.png", model), "a cat"

    with pytest.raises(ImagesFailedError, match=r"nowhere\.png") as caught:
        list(invert_many(model, DDIM(steps=2), opening()))
    assert sorted(caught.value.results) == [0, 1]
    assert caught.value.errors.keys() == {2}


def test_a_callback_that_raises_stops_all(model, images):
    def stop(event):
        raise Cancelled

    with pytest.raises(Cancelled):
        list(invert_many(model, DDIM(steps=2), images, on_progress=stop))
    same(DDIM(steps=2)(model, *images[0]), DDIM(steps=2)(model, *images[0]))
