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
    OpenLoop,
    RandomPivot,
    TextualInversion,
    invert_together,
)
from nulltext.errors import (
    Cancelled,
    CaptionError,
    CaptionTooLongError,
    DivergedError,
    ImageError,
    OutOfMemoryError,
    PicturesFailedError,
    SettingError,
)

CAPTIONS = ("a red ball on grass", "a cat", "a photo of a dog on grass", "a blue ball", "grass")
METHODS = (
    DDIM(steps=2),
    DirectInversion(steps=2),
    NullText(steps=2, inner_steps=2, guidance=3.0),
    GlobalNullText(steps=2, inner_steps=2, guidance=3.0),
    RandomPivot(steps=2, inner_steps=2, guidance=3.0),
    NoPivot(steps=2, inner_steps=2, guidance=3.0),
    OpenLoop(steps=2, inner_steps=2, guidance=3.0),
    TextualInversion(steps=2, inner_steps=2, guidance=3.0),
    TextualInversion(steps=2, inner_steps=2, guidance=3.0, pivot=True),
)


def picture(seed, height=64, width=64):
    """Soft blotches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pictures(model):
    return [(nulltext.open_image(picture(seed), model), caption) for seed, caption in enumerate(CAPTIONS)]


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
    assert (one.caption, one.sha256, one.settings) == (other.caption, other.sha256, other.settings)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{type(method).__name__}{getattr(method, 'pivot', '')}")
def test_a_result_does_not_depend_on_its_neighbours(model, pictures, method):
    """Two at once, three pictures: each has another beside it, and the third takes a place that was left."""
    together = dict(invert_together(model, method, pictures[:3], at_once=2))
    assert sorted(together) == [0, 1, 2]
    for index, (photo, caption) in enumerate(pictures[:3]):
        same(together[index], method(model, photo, caption))


def test_each_stops_early_at_its_own_pace(model, pictures, passes_with_gradient):
    """A tolerance that some pictures meet at once and others never: batches are filled from what is left."""
    photo, caption = pictures[0]
    method = NullText(
        steps=3,
        inner_steps=4,
        guidance=3.0,
        constants=nulltext.Constants(learning_rate=1e-2, decay=0.0, tolerance=6e-2, tolerance_growth=0.0),
    )
    singles = []
    for picture in pictures:
        with passes_with_gradient(model) as batches:
            method(model, *picture)
        singles.append(len(batches))
    assert len(set(singles)) > 1, "the pictures must differ in the iterations they need, or this shows nothing"
    with passes_with_gradient(model) as batches:
        together = dict(invert_together(model, method, pictures, at_once=3))
    assert sum(batches) == sum(singles)
    assert max(batches) == 3
    assert len(batches) < sum(singles)
    same(together[0], method(model, photo, caption))


def test_sizes_may_be_mixed(model):
    sizes = ((64, 64), (64, 96), (64, 64))
    pictures = [
        (nulltext.open_image(picture(seed, *size), model, size=size), "a cat") for seed, size in enumerate(sizes)
    ]
    method = NullText(steps=2, inner_steps=2, guidance=3.0)
    together = dict(invert_together(model, method, pictures, at_once=3))
    for index, (photo, caption) in enumerate(pictures):
        same(together[index], method(model, photo, caption))


def test_pictures_are_opened_as_there_is_room(model, pictures):
    opened = []

    def opening():
        for index, picture in enumerate(pictures):
            opened.append(index)
            yield picture

    results = invert_together(model, DDIM(steps=2), opening(), at_once=2)
    assert opened == []
    next(results)
    assert opened == [0, 1]
    assert len(list(results)) == 4


def test_progress_says_which_picture(model, pictures):
    events = []
    list(invert_together(model, DDIM(steps=2), pictures[:2], at_once=2, on_progress=events.append))
    assert {event.picture for event in events} == {1, 2}
    assert [event.step for event in events if event.picture == 2 and event.phase == "invert"] == [1, 2]


def test_bad_settings(model, pictures):
    with pytest.raises(SettingError, match=r"at_once=0.*at least 1"):
        list(invert_together(model, DDIM(steps=2), pictures, at_once=0))
    with pytest.raises(SettingError, match="'raise' or 'return'"):
        inspect.unwrap(invert_together)(model, DDIM(steps=2), pictures, errors="ignore")
    assert list(invert_together(model, DDIM(steps=2), [])) == []


def bad_caption(model, pictures):
    return pictures[2][0], " "


def long_caption(model, pictures):
    return pictures[2][0], "a red ball on grass " * 12


def other_models_photo(model, pictures):
    return dataclasses.replace(pictures[2][0], pixels=pictures[2][0].pixels[..., :60]), "a cat"


def diverging(model, pictures):
    """A photograph so bright that the network overflows: in place, past the check of its constructor."""
    photo = nulltext.open_image(picture(9), model)
    photo.pixels.fill_(1e30)
    return photo, "a cat"


WRONG_FROM_THE_START = {bad_caption: CaptionError, long_caption: CaptionTooLongError, other_models_photo: ImageError}
WRONG_ON_THE_WAY = {diverging: DivergedError}


@pytest.mark.parametrize("wrong", WRONG_FROM_THE_START | WRONG_ON_THE_WAY, ids=lambda wrong: wrong.__name__)
@pytest.mark.parametrize("lazily", [False, True], ids=["list", "iterator"])
def test_one_bad_picture_loses_no_other(model, pictures, wrong, lazily):
    kind = (WRONG_FROM_THE_START | WRONG_ON_THE_WAY)[wrong]
    mixed = [*pictures[:2], wrong(model, pictures), *pictures[3:]]

    def given():
        return iter(mixed) if lazily else mixed

    made = dict(invert_together(model, DDIM(steps=2), given(), at_once=2, errors="return"))
    assert sorted(made) == [0, 1, 2, 3, 4]
    assert isinstance(made.pop(2), kind)
    for index, inversion in made.items():
        same(inversion, DDIM(steps=2)(model, *pictures[index]))

    events = []
    with pytest.raises(PicturesFailedError, match="number 2") as caught:
        list(invert_together(model, DDIM(steps=2), given(), at_once=2, on_progress=events.append))
    assert isinstance(caught.value.errors[2], kind)
    if lazily or wrong in WRONG_ON_THE_WAY:
        assert sorted(caught.value.results) == [0, 1, 3, 4]
        same(caught.value.results[4], made[4])
    else:
        assert events == [], "it was known, and yet work was begun"
        assert caught.value.results == {}


def test_no_memory_for_one_picture_loses_no_other(model, pictures, monkeypatch):
    """The network refuses the one large picture, as a full device does."""
    large = nulltext.open_image(picture(9, 128, 128), model, size=(128, 128)), "a cat"
    forward = model.denoiser.forward

    def short(x, *args, **kwargs):
        if x.shape[-1] > 8:
            raise torch.OutOfMemoryError("out of memory")
        return forward(x, *args, **kwargs)

    monkeypatch.setattr(model.denoiser, "forward", short)
    made = dict(invert_together(model, DDIM(steps=2), [pictures[0], large, pictures[1]], errors="return"))
    assert isinstance(made[1], OutOfMemoryError)
    assert made[1].__cause__.__traceback__ is None, "it holds what the network had computed"
    for index, number in {0: 0, 2: 1}.items():
        same(made[index], DDIM(steps=2)(model, *pictures[number]))


def test_an_iterator_that_fails_loses_nothing_under_way(model, pictures):
    def opening():
        yield from pictures[:2]
        yield nulltext.open_image("nowhere.png", model), "a cat"

    with pytest.raises(PicturesFailedError, match=r"nowhere\.png") as caught:
        list(invert_together(model, DDIM(steps=2), opening()))
    assert sorted(caught.value.results) == [0, 1]
    assert caught.value.errors.keys() == {2}


def test_a_callback_that_raises_stops_all(model, pictures):
    def stop(event):
        raise Cancelled

    with pytest.raises(Cancelled):
        list(invert_together(model, DDIM(steps=2), pictures, on_progress=stop))
    same(DDIM(steps=2)(model, *pictures[0]), DDIM(steps=2)(model, *pictures[0]))
