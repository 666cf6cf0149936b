"""What masks that people send may cost: how large they are kept, when they are opened, and for whom."""

import base64
import threading
from typing import Any

import pytest
from PIL import Image, ImageChops
from tests.web.occupying import Occupying, occupying
from tests.web.visitor import SOON, edit, made, start

from nulltext.decoding import header
from nulltext.editing.blend import Blend
from nulltext.errors import ImageDecodeError, TooManyJobsError
from nulltext.images import open_image
from nulltext.mask_images import grey_mask, open_mask
from nulltext.models.recommended import Recommended
from nulltext.web import opening
from nulltext.web.answers import STATUS
from nulltext.web.limits import Limits
from nulltext.web.opening import open_small_mask, small_mask, turn
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.results import Inverted


def decoded(mask):
    pytest.fail("it was decoded")


def inverted_of(width, height, fitted):
    request = InversionRequest(prompt="a")
    little = Image.new("RGB", (1, 1))
    return Inverted(
        number="", request=request, recommended=Recommended(), name="", opened=False,
        size=(height, width), fitted=fitted, source=little,
        reconstruction=little, psnr=1, vae_psnr=1, losses=(), seconds=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mask", "source_image", "kept"),
    [
        ((6300, 6300), (128, 128), (128, 128)),
        ((1000, 1000), (4000, 4000), (512, 512)),
        ((4000, 3000), (4000, 3000), (683, 512)),
        ((100, 100), (4000, 4000), (100, 100)),
        ((160, 128), (160, 128), (160, 128)),
        ((600, 3), (600, 3), (600, 3)),
    ],
)
def test_a_mask_is_kept_as_large_as_it_is_of_use(mask, source_image, kept):
    width, height = source_image
    small = small_mask(Image.new("RGBA", mask, "white"), inverted_of(width, height, (128, 128)))
    assert (small.size, small.mode, small.getextrema()) == (kept, "L", (255, 255))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_small_mask_does_what_the_large_one_does(fit):
    class Sizes:
        scale, default_size = 8, (64, 64)

    source_image = open_image(Image.new("RGB", (1500, 1000)), Sizes(), fit=fit)
    mask = Image.new("L", (1500, 1000))
    mask.paste(255, (411, 233, 1107, 871))
    small = small_mask(mask, inverted_of(1500, 1000, (64, 64)))
    assert small.width < 400
    large, fitted = source_image.frame.fit_mask(mask), source_image.frame.fit_mask(small)
    assert (large - fitted).abs().max() < 0.1
    assert ((large > 0.5) != (fitted > 0.5)).sum() <= 4
    assert Blend(mask=small).mask is small


def test_a_mask_of_another_shape_is_refused_by_its_header(client, sample, sample_prompt, encode, monkeypatch):
    (node,) = made(client, start(client, sample, sample_prompt, steps=2))
    monkeypatch.setattr("nulltext.web.opening.open_mask", decoded)
    mask = base64.b64encode(encode(Image.new("L", (3000, 3000)), "PNG")).decode()
    answer = edit(client, node["id"], sample_prompt, mask=mask)
    assert answer.status_code == 400
    assert "3000 x 3000; expected the photograph's 160 x 128" in answer.json()["detail"]


def test_images_are_opened_one_at_a_time(monkeypatch):
    monkeypatch.setattr("nulltext.web.opening._TURN", 0.01)
    with turn(), pytest.raises(TooManyJobsError, match="being opened"), turn():
        pytest.fail("two were opened")
    monkeypatch.setattr("nulltext.web.opening._waiting", threading.BoundedSemaphore(1))
    opening._waiting.acquire()
    with pytest.raises(TooManyJobsError), turn():
        pytest.fail("too many wait")
    opening._waiting.release()
    with turn():
        pass
    assert STATUS[TooManyJobsError] == 429


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_a_mask_becomes_grey_in_fewer_copies(encode, mode):
    rough = Image.effect_noise((40, 30), 90)
    bands = [rough.rotate(90 * turned) for turned in range(4)]
    made = Image.merge("RGBA", bands) if mode in {"RGBA", "RGB", "P"} else Image.merge("LA", bands[:2])
    made = made.convert("L").convert(mode) if mode == "I;16" else made.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    data = encode(made, "PNG", exif=exif)
    expected, got = grey_mask(open_mask(header(data))), opening._grey(header(data), data)
    assert got.size == expected.size == (30, 40)
    apart: Any = ImageChops.difference(got, expected).getextrema()
    assert apart[1] <= 2


def test_a_mask_is_not_opened_for_who_has_no_place(client, sample, sample_prompt, encode, monkeypatch, workshop):
    (node,) = made(client, start(client, sample, sample_prompt, steps=2))
    monkeypatch.setattr("nulltext.web.studio.open_small_mask", lambda *_: pytest.fail("it was opened"))
    monkeypatch.setattr(workshop.jobs, "check", refused)
    assert edit(client, node["id"], sample_prompt, mask="").status_code == 429
    assert start(client, sample, sample_prompt, steps=2).status_code == 429


def refused(person, client):
    raise TooManyJobsError("no place")


@pytest.mark.parametrize("kind", [None, "EPS"])
def test_a_mask_that_is_no_image_is_called_a_mask(encode, kind):
    data = b"" if kind is None else encode(Image.new("RGB", (160, 128)), kind)
    with pytest.raises(ImageDecodeError, match=r"^the mask is"):
        open_small_mask(data, inverted_of(160, 128, (128, 128)), Limits())


def test_a_waiting_edit_holds_its_mask_alone(workshop, person, sample, sample_prompt):
    inversion = workshop.invert(person, sample, "a.png", InversionRequest(prompt=sample_prompt, steps=2))
    assert inversion.wait(SOON)
    first = Occupying()
    workshop.jobs.submit("zoe", occupying(first, 0))
    assert first.begun.wait(SOON)
    mask = Image.new("RGBA", (6400, 5120))
    job = workshop.edit(
        person,
        inversion.result,
        EditRequest(prompt=sample_prompt, before=(EditRequest(prompt=sample_prompt, mask=mask),)),
    )
    assert 160 * 128 < job.size < 2 * 160 * 128
    assert job.uses == {workshop.people.path(person, inversion.result.number)}
    job.stop()
    first.go.set()
