"""What the workshop keeps: inversions that may be asked for again, and files that somebody brings back."""

import dataclasses
import io
import json
import shutil

import pytest
from PIL import Image
from tests.web.working import SOON, STEPS, done, files_of, levels

from nulltext import DDIM
from nulltext.errors import (
    KeptFileNotFoundError,
)
from nulltext.web.cache import note_of
from nulltext.web.people import People
from nulltext.web.recipes import png
from nulltext.web.requests import EditRequest
from nulltext.web.workshop import Workshop


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
