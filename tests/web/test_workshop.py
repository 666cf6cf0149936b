"""The work behind the API: an image inverted and edited, the same again, other models, and what is seen meanwhile."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image
from tests.web.working import STEPS, done, levels

from nulltext import DDIM, DirectInversion, PromptToPrompt, open_image
from nulltext.bench.cost import measured
from nulltext.errors import (
    KeptFileNotFoundError,
    ModelNotFoundError,
    SettingError,
    UnknownWordError,
)
from nulltext.progress import Progress
from nulltext.web.jobs import Job
from nulltext.web.opening import thumbnail
from nulltext.web.people import People
from nulltext.web.recipes import png
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.running import previewing
from nulltext.web.workshop import Workshop


def test_invert_and_edit(workshop, person, sample, asked, inverted, blue, embedded):
    source = Image.open(io.BytesIO(sample))
    assert inverted.source.size == inverted.reconstruction.size == source.size == (160, 128)
    assert inverted.psnr == pytest.approx(inverted.vae_psnr)
    direct = DirectInversion(steps=STEPS)(embedded, open_image(sample, embedded), asked.prompt)
    assert inverted.psnr == pytest.approx(direct.scores.psnr, abs=1e-3)

    edited = done(workshop.edit(person, inverted, EditRequest(prompt=blue)))
    expected = PromptToPrompt()(embedded, direct, blue).image
    (image,) = edited.images
    assert levels(image, expected) <= 2
    assert levels(image, inverted.source) > 30
    kept = Image.open(workshop.people.path(person, edited.numbers[0])).copy()
    assert np.array_equal(np.asarray(kept), np.asarray(image))
    assert edited.seconds > 0


def test_the_same_again_costs_nothing(workshop, person, sample, inverted, asked, embedded):
    again, cost = measured(embedded, lambda: done(workshop.invert(People.new(), sample, "other.png", asked)))
    assert (again.seconds, again.name, again.psnr) == (0, "other.png", inverted.psnr)
    assert (cost.forwards, cost.backwards) == (0, 0)
    assert again.number != inverted.number
    with pytest.raises(KeptFileNotFoundError):
        workshop.people.path(person, again.number)


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 4},
        {"prompt": "a photo of a cube"},
        {"method": "ddim"},
        {"fit": "pad"},
        {"guidance": 3.0},
        {"size": (96, 160)},
    ],
    ids=str,
)
def test_anything_else_is_another_inversion(workshop, person, sample, inverted, asked, other):
    assert done(workshop.invert(person, sample, "a.png", dataclasses.replace(asked, **other))).seconds > 0


@pytest.mark.filterwarnings("ignore:the model was made for images")
def test_an_image_of_another_size_is_edited_at_it(workshop, person, sample, asked, blue):
    inverted = done(workshop.invert(person, sample, "a.png", dataclasses.replace(asked, size=(96, 160))))
    assert (inverted.fitted, inverted.size, inverted.warning) == ((96, 160), (128, 160), "")
    data = workshop.people.path(person, inverted.number).read_bytes()
    opened = done(workshop.open_inversion(person, data, "a.safetensors"))
    assert opened.fitted == (96, 160)
    small = done(workshop.invert(person, sample, "a.png", dataclasses.replace(asked, size=(64, 64), steps=1)))
    assert "made for images of about 128 x 128" in small.warning
    with pytest.raises(SettingError, match="at most 2 times as many as the model's own 128 x 128"):
        workshop.invert(person, sample, "a.png", dataclasses.replace(asked, size=(256, 256)))


def test_another_precision_of_the_same_weights_is_another_inversion(
    workshop, person, sample, inverted, asked, monkeypatch
):
    monkeypatch.setattr("nulltext.web.workshop.precision_of", lambda _model: "tf32")
    assert done(workshop.invert(person, sample, "a.png", asked)).seconds > 0


def test_another_image_is_another_inversion(workshop, person, sample, inverted, asked):
    turned = png(Image.open(io.BytesIO(sample)).rotate(180))
    assert done(workshop.invert(person, turned, "a.png", asked)).seconds > 0


def test_another_model_that_is_offered(tmp_path, person, image, folder, model, source_image):
    name = str(folder("epsilon"))
    workshop = Workshop(tmp_path, models=("scenes", name), device="cpu")
    try:
        inverted = done(workshop.invert(person, png(image), "a.png", InversionRequest(prompt="a cat", model=name)))
        done(workshop.edit(person, inverted, EditRequest(prompt="a dog")))
        kept = DDIM(steps=1)(model, source_image, "a cat").save(tmp_path / "a.safetensors").read_bytes()
        assert done(workshop.open_inversion(person, kept, "a.safetensors")).request.model == name
    finally:
        workshop.close()


def test_a_model_that_is_not_offered(workshop, person, sample, sample_prompt, folder):
    for name in ("other/model", str(folder("epsilon")), "../scenes", "", "x" * 10_000):
        with pytest.raises(ModelNotFoundError) as error:
            workshop.model(name)
        assert len(str(error.value)) < 300
    with pytest.raises(ModelNotFoundError, match="does not offer"):
        workshop.invert(person, sample, "a.png", InversionRequest(prompt=sample_prompt, model="other/model"))


def test_only_jobs_wait_for_a_model(tmp_path, person, folder, sample):
    """Whether a word is known is told at once only where the model is at hand."""
    name = str(folder("epsilon"))
    workshop = Workshop(tmp_path, models=("scenes", name), device="cpu")
    try:
        assert workshop.at_hand(name) is None
        workshop.check_words(name, "a zebra")
        assert workshop.at_hand("scenes") is workshop.model("scenes")
        with pytest.raises(UnknownWordError):
            workshop.check_words("scenes", "a zebra")
        with pytest.raises(ModelNotFoundError):
            workshop.at_hand("other/model")
        loaded = workshop.model(name)
        assert workshop.at_hand(name) is loaded
    finally:
        workshop.close()


def test_a_thumbnail():
    large, small = Image.new("RGB", (2000, 500), "red"), Image.new("L", (9, 5))
    assert thumbnail(large).size == (1024, 256)
    assert large.size == (2000, 500)
    assert thumbnail(small).size == (9, 5)


def test_a_preview_is_the_image_so_far(embedded, person):
    job = Job(person, done)
    tell = previewing(embedded, job)
    tell(Progress("sample", 0, 3))
    assert job.preview is None
    tell(Progress("sample", 1, 3, latents=torch.zeros(2, 4, 16, 16)))
    preview: Image.Image | None = job.preview
    assert preview is not None
    assert preview.size == (128, 128)
    job.stop()
