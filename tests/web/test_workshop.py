import dataclasses
import errno
import io
import json
import os
import shutil
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nulltext import DDIM, DirectInversion, Inversion, PromptToPrompt, open_image
from nulltext.bench.cost import measured
from nulltext.errors import (
    EmptyPromptError,
    ImageDecodeError,
    ImageError,
    KeptFileNotFoundError,
    ModelNotFoundError,
    SettingError,
    TooManyJobsError,
    UnknownWordError,
    UploadTooLargeError,
)
from nulltext.progress import Progress
from nulltext.web.cache import note_of
from nulltext.web.jobs import UNFORESEEN, Job
from nulltext.web.opening import thumbnail
from nulltext.web.people import People
from nulltext.web.recipes import png
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.running import previewing, stopping
from nulltext.web.workshop import Workshop

SOON = 60.0
STEPS = 3


def done(job) -> Any:
    assert job.wait(SOON)
    assert job.state == "done", job.message
    return job.result


@pytest.fixture
def asked(sample_prompt):
    return InversionRequest(prompt=sample_prompt, steps=STEPS)


@pytest.fixture
def blue(sample_prompt):
    return sample_prompt.replace("white", "blue")


@pytest.fixture
def inverted(workshop, person, sample, asked):
    """From the cache in all tests but the first."""
    return done(workshop.invert(person, sample, "photo.png", asked))


def waiting(gate):
    gate.wait(SOON)  # and return nothing, which a hook of torch's would take for the input


def levels(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()


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


def test_a_restarted_server_finds_what_was_inverted(workshop, person, sample, inverted, asked):
    restarted = Workshop(workshop.people.root, limits=workshop.limits, device="cpu")
    try:
        again = done(restarted.invert(person, sample, "photo.png", asked))
        assert again.seconds == 0
        assert restarted.people.path(person, inverted.number).is_file()
    finally:
        restarted.close()


def damage_nothing(path, other):
    """What is found again as it is."""


def cut(path, other):
    path.write_bytes(path.read_bytes()[:1000])


def without_note(path, other):
    note_of(path).unlink()


def replaced(path, other):
    shutil.copy(other, path)


def replaced_with_its_note(path, other):
    shutil.copy(other, path)
    shutil.copy(note_of(other), note_of(path))


def noted(text):
    def damage(path, other):
        note_of(path).write_bytes(text)

    return damage


def noted_with(**fields):
    def damage(path, other):
        note_of(path).write_text(json.dumps(json.loads(note_of(path).read_text()) | fields))

    return damage


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (damage_nothing, False),
        (cut, True),
        (without_note, True),
        (replaced, True),
        (replaced_with_its_note, True),
        (noted(b""), True),
        (noted(b"[0.1, 0."), True),
        (noted(b"[0.1, 0.2]"), True),
        (noted(b"null"), True),
        (noted(b"\xff\xfe"), True),
        (noted(b"[" * 100_000), True),
        (noted_with(key=None), True),
        (noted_with(losses=None), True),
        (noted_with(losses=["a"]), True),
        (noted_with(sha256="0"), True),
    ],
)
def test_what_the_cache_holds_is_checked_and_made_again(workshop, person, sample, asked, damage, again):
    """By what is asked for: image, prompt, method, settings, model, precision and threads."""
    folder = workshop.people.root / "inversions"
    for path in folder.iterdir():
        path.unlink()
    request, another = (dataclasses.replace(asked, steps=steps, method="ddim") for steps in (2, 1))
    turned = png(Image.open(io.BytesIO(sample)).rotate(180))
    first = done(workshop.invert(person, sample, "a.png", request))
    (path,) = folder.glob("*.safetensors")
    done(workshop.invert(person, turned, "a.png", another))
    (other,) = {*folder.glob("*.safetensors")} - {path}
    damage(path, other)
    found = done(workshop.invert(person, sample, "a.png", request))
    assert (found.seconds > 0) is again
    assert (found.psnr, levels(found.source, first.source)) == (first.psnr, 0)
    assert done(workshop.invert(person, sample, "a.png", request)).seconds == 0


def test_null_text_keeps_its_losses(workshop, person, sample, asked):
    request = dataclasses.replace(asked, method="null-text", steps=2, settings={"inner_steps": 2})
    first = done(workshop.invert(person, sample, "a.png", request))
    again = done(workshop.invert(person, sample, "a.png", request))
    assert len(first.losses) >= 2
    assert (again.losses, again.seconds) == (first.losses, 0)


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


def test_a_kept_inversion_is_opened_and_edited(workshop, person, inverted, sample_prompt, blue):
    data = workshop.people.path(person, inverted.number).read_bytes()
    opened = done(workshop.open_inversion(person, data, "my photo.safetensors"))
    assert (opened.name, opened.request.prompt, opened.request.method) == ("my photo.png", sample_prompt, "direct")
    assert opened.request.steps == STEPS
    assert workshop.people.path(person, opened.number).read_bytes() == data
    before = done(workshop.edit(person, inverted, EditRequest(prompt=blue)))
    after = done(workshop.edit(person, opened, EditRequest(prompt=blue)))
    assert levels(before.images[0], after.images[0]) <= 2
    with pytest.raises(KeptFileNotFoundError):
        workshop.edit(People.new(), opened, EditRequest(prompt=blue))


def test_an_inversion_of_another_model_is_not_kept(workshop, person, model, source_image, tmp_path):
    path = DDIM(steps=1)(model, source_image, "a cat").save(tmp_path / "a.safetensors")
    job = workshop.open_inversion(person, path.read_bytes(), "a.safetensors")
    assert job.wait(SOON)
    assert "this server does not offer" in job.message
    assert str(tmp_path.parent) not in job.message
    assert files_of(workshop, person) == []
    assert not [*(workshop.people.root / "inversions").glob("*.part")]


def files_of(workshop, person):
    folder = workshop.people._folder(person)
    return [*folder.iterdir()] if folder.is_dir() else []


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


def test_a_running_inversion_is_cancelled_and_leaves_nothing(workshop, person, sample, embedded, sample_prompt):
    hooks = dict(embedded.denoiser._forward_pre_hooks)
    before = {*(workshop.people.root / "inversions").iterdir()}
    begun = threading.Event()
    handle = embedded.denoiser.register_forward_hook(lambda *_: begun.set())
    request = InversionRequest(prompt=sample_prompt, method="null-text", steps=100, settings={"inner_steps": 50})
    job = workshop.invert(person, sample, "a.png", request)
    assert begun.wait(SOON)
    job.stop()
    assert job.wait(0.5)
    assert job.state == "cancelled"
    handle.remove()
    following = workshop.invert(person, sample, "a.png", InversionRequest(prompt=sample_prompt, steps=6))
    done(following)
    assert dict(embedded.denoiser._forward_pre_hooks) == hooks
    new = {*(workshop.people.root / "inversions").iterdir()} - before
    assert sorted(path.suffix for path in new) == [".json", ".safetensors"]  # the following one's
    assert len(files_of(workshop, person)) == 1


def test_a_running_edit_is_cancelled_and_leaves_nothing(workshop, person, inverted, blue, embedded):
    hooks = dict(embedded.denoiser._forward_pre_hooks)
    begun = threading.Event()
    handle = embedded.denoiser.register_forward_hook(lambda *_: begun.set())
    job = workshop.edit(person, inverted, EditRequest(prompt=blue))
    assert begun.wait(SOON)
    job.stop()
    handle.remove()
    done(workshop.edit(person, inverted, EditRequest(prompt=blue)))
    assert job.result is None
    assert dict(embedded.denoiser._forward_pre_hooks) == hooks
    assert len(files_of(workshop, person)) == 2  # the inversion, and the second edit


def test_what_is_refused_before_it_waits(workshop, person, sample, sample_prompt):
    for error, data, request in (
        (ImageDecodeError, b"no image", InversionRequest(prompt=sample_prompt)),
        (UploadTooLargeError, b"\0" * 300_001, InversionRequest(prompt=sample_prompt)),
        (EmptyPromptError, sample, InversionRequest(prompt="")),
        (UnknownWordError, sample, InversionRequest(prompt="a zebra")),
        (SettingError, sample, InversionRequest(prompt=sample_prompt, steps=0)),
    ):
        with pytest.raises(error):
            workshop.invert(person, data, "a.png", request)


def test_an_edit_is_refused_before_it_waits(workshop, person, inverted, blue):
    with pytest.raises(UnknownWordError, match="zebra"):
        workshop.edit(person, inverted, EditRequest(prompt="a zebra"))
    with pytest.raises(UnknownWordError, match="zebra"):
        workshop.edit(person, inverted, EditRequest(prompt=blue, before=(EditRequest(prompt="a zebra"),)))
    with pytest.raises(SettingError):
        workshop.edit(person, inverted, EditRequest(prompt=blue, cross=2))
    workshop.people.path(person, inverted.number).unlink()
    with pytest.raises(KeptFileNotFoundError, match="Make it again"):
        workshop.edit(person, inverted, EditRequest(prompt=blue))


def test_a_file_that_is_swept_while_its_edit_waits(workshop, person, inverted, blue):
    gate, begun = threading.Event(), threading.Event()

    def block(job):
        begun.set()
        gate.wait(SOON)

    workshop.jobs.submit("somebody", block)
    assert begun.wait(SOON)
    job = workshop.edit(person, inverted, EditRequest(prompt=blue))
    workshop.people.path(person, inverted.number).unlink()
    gate.set()
    assert job.wait(SOON)
    assert job.state == "failed"
    assert UNFORESEEN not in job.message
    assert str(workshop.people.root) not in job.message


def test_a_full_disk(workshop, person, sample, sample_prompt, inverted, blue, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {*workshop.people.root.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        jobs = [
            workshop.invert(person, sample, "a.png", InversionRequest(prompt=sample_prompt, steps=4, guidance=2.5)),
            workshop.edit(person, inverted, EditRequest(prompt=blue)),
        ]
        assert all(job.wait(SOON) for job in jobs)
    for job in jobs:
        assert job.state == "failed"
        assert "No space left" in job.message
        assert str(workshop.people.root) not in job.message
    assert {*workshop.people.root.rglob("*")} == before


def test_another_persons_inversion_is_not_edited(workshop, inverted, blue):
    with pytest.raises(KeptFileNotFoundError):
        workshop.edit(People.new(), inverted, EditRequest(prompt=blue))


def test_nobody_waits_for_more_than_they_may(workshop, person, sample, asked, embedded):
    gate = threading.Event()
    handle = embedded.denoiser.register_forward_pre_hook(lambda *_: waiting(gate))
    try:
        requests = [dataclasses.replace(asked, steps=6, guidance=float(w)) for w in range(2, 6)]
        jobs = [workshop.invert(person, sample, "a.png", request) for request in requests[:3]]
        with pytest.raises(TooManyJobsError):
            workshop.invert(person, sample, "a.png", requests[3])
        for job in jobs:
            job.stop()
    finally:
        gate.set()
        handle.remove()
    assert done(workshop.invert(person, sample, "a.png", asked))


def test_files_keep_the_full_size_of_what_is_shown_small(workshop, person, encode, sample_prompt):
    large = encode(Image.new("RGB", (1500, 1200), "red"), "PNG")
    inverted = done(workshop.invert(person, large, "a.png", InversionRequest(prompt=sample_prompt, steps=1)))
    edited = done(workshop.edit(person, inverted, EditRequest(prompt=sample_prompt)))
    shown = inverted.source, inverted.reconstruction, edited.images[0]
    assert {image.size for image in shown} == {(1024, 819)}
    assert Image.open(workshop.people.path(person, edited.numbers[0])).copy().size == (1500, 1200)


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


def test_stopping_stops_and_takes_its_hook_away(embedded, sample, sample_prompt):
    hooks, source_image = dict(embedded.denoiser._forward_pre_hooks), open_image(sample, embedded)

    def refuse():
        raise SettingError("stop")

    with stopping(embedded, refuse), pytest.raises(SettingError, match="stop"):
        DDIM(steps=1)(embedded, source_image, sample_prompt)
    assert dict(embedded.denoiser._forward_pre_hooks) == hooks
