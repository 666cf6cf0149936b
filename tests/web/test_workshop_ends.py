"""Work that is cancelled, refused, or fails: it leaves nothing."""

import dataclasses
import errno
import os
import threading

import pytest
from tests.web.working import SOON, done, files_of, waiting

from nulltext import DDIM, open_image
from nulltext.errors import (
    EmptyPromptError,
    ImageDecodeError,
    KeptFileNotFoundError,
    SettingError,
    TooManyJobsError,
    UnknownWordError,
    UploadTooLargeError,
)
from nulltext.web.jobs import UNFORESEEN
from nulltext.web.requests import EditRequest, InversionRequest
from nulltext.web.running import stopping


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


def test_stopping_stops_and_takes_its_hook_away(embedded, sample, sample_prompt):
    hooks, source_image = dict(embedded.denoiser._forward_pre_hooks), open_image(sample, embedded)

    def refuse():
        raise SettingError("stop")

    with stopping(embedded, refuse), pytest.raises(SettingError, match="stop"):
        DDIM(steps=1)(embedded, source_image, sample_prompt)
    assert dict(embedded.denoiser._forward_pre_hooks) == hooks
