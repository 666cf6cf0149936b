"""Edits by the workshop: one after the other, with masks, in several strengths."""

import numpy as np
import pytest
from PIL import Image
from tests.web.working import SOON, done, levels

from nulltext import Inversion, PromptToPrompt
from nulltext.errors import (
    ImageError,
    KeptFileNotFoundError,
)
from nulltext.web.jobs import UNFORESEEN
from nulltext.web.people import People
from nulltext.web.requests import EditRequest, InversionRequest


def test_an_edit_that_goes_on_from_another(workshop, person, inverted, sample_prompt, blue, embedded):
    snow = blue.replace("grass", "snow")
    edited = done(workshop.edit(person, inverted, EditRequest(prompt=snow, before=(EditRequest(prompt=blue),))))
    inversion = Inversion.load(workshop.people.path(person, inverted.number))
    expected = PromptToPrompt(chain=True)(embedded, inversion, [blue, snow]).images[-1]
    assert len(edited.images) == len(edited.numbers) == 1
    assert levels(edited.images[0], expected) <= 2


def test_going_on_with_a_strength_for_a_word_that_is_new(workshop, person, inverted, blue):
    request = EditRequest(
        prompt=blue.replace("grass", "snow"), before=(EditRequest(prompt=blue),), weights={"snow": 2.0}
    )
    done(workshop.edit(person, inverted, request))


def test_every_step_of_a_chain_keeps_its_own_mask(workshop, person, inverted, blue):
    left, right = Image.new("L", inverted.source.size), Image.new("L", inverted.source.size)
    left.paste(255, (30, 20, 80, 110))
    right.paste(255, (80, 20, 130, 110))
    first = EditRequest(prompt=blue, mask=left)
    one = done(workshop.edit(person, inverted, first))
    second = EditRequest(prompt=blue.replace("grass", "snow"), before=(first,), mask=right)
    two = done(workshop.edit(person, inverted, second))
    assert [name for _, name in one.masks] == ["mask.png"]
    assert [name for _, name in two.masks] == ["mask-1.png", "mask-2.png"]
    for (kept, _), mask in zip(two.masks, (left, right), strict=True):
        assert levels(kept, mask) == 0
    edges = [(0, 0, 20, 128), (140, 0, 160, 128), (30, 118, 130, 128)]
    free, later = (30, 20, 70, 110), (90, 20, 130, 110)
    source = inverted.reconstruction
    for box in edges:
        assert levels(two.images[0].crop(box), source.crop(box)) <= 2
    assert levels(one.images[0].crop(free), source.crop(free)) > 30
    assert levels(one.images[0].crop(later), source.crop(later)) <= 2
    assert levels(two.images[0].crop(later), source.crop(later)) > 30


@pytest.mark.parametrize("vary", ["composition", "layout", "strength"])
def test_an_edit_in_several_strengths(workshop, person, inverted, blue, vary):
    edited = done(workshop.edit(person, inverted, EditRequest(prompt=blue, vary=vary)))
    assert {len(each) for each in (edited.images, edited.numbers, edited.python, edited.shell)} == {4}
    one = done(workshop.edit(person, inverted, edited.requests[2]))
    assert levels(one.images[0], edited.images[2]) <= 2
    assert levels(edited.images[0], edited.images[3]) > 2


def test_nothing_new_to_vary(workshop, person, inverted, sample_prompt):
    job = workshop.edit(person, inverted, EditRequest(prompt=sample_prompt, vary="strength"))
    assert job.wait(SOON)
    assert "no new word" in job.message


def test_a_mask_and_words_keep_the_rest_as_it_was(workshop, person, inverted, blue):
    mask = Image.new("L", inverted.source.size)
    mask.paste(255, (40, 40, 120, 100))
    edited = done(workshop.edit(person, inverted, EditRequest(prompt=blue, mask=mask, blend_words=("cube",))))
    outside = [np.asarray(image)[:20, :30] for image in (edited.images[0], inverted.reconstruction)]
    assert levels(*outside) <= 2


def test_a_mask_of_another_shape_or_with_nothing_in_it(workshop, person, inverted, blue):
    with pytest.raises(ImageError, match=r"10 x 100; expected the photograph's 160 x 128"):
        workshop.edit(person, inverted, EditRequest(prompt=blue, mask=Image.new("L", (10, 100), 255)))
    job = workshop.edit(person, inverted, EditRequest(prompt=blue, mask=Image.new("L", inverted.source.size)))
    assert job.wait(SOON)
    assert job.state == "failed"
    assert UNFORESEEN not in job.message


def test_files_keep_the_full_size_of_what_is_shown_small(workshop, person, encode, sample_prompt):
    large = encode(Image.new("RGB", (1500, 1200), "red"), "PNG")
    inverted = done(workshop.invert(person, large, "a.png", InversionRequest(prompt=sample_prompt, steps=1)))
    edited = done(workshop.edit(person, inverted, EditRequest(prompt=sample_prompt)))
    shown = inverted.source, inverted.reconstruction, edited.images[0]
    assert {image.size for image in shown} == {(1024, 819)}
    assert Image.open(workshop.people.path(person, edited.numbers[0])).copy().size == (1500, 1200)


def test_another_persons_inversion_is_not_edited(workshop, inverted, blue):
    with pytest.raises(KeptFileNotFoundError):
        workshop.edit(People.new(), inverted, EditRequest(prompt=blue))
