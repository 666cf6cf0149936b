"""A drawing is a program: no way in hands it to one that runs it."""

import asyncio
import base64
import os
import time
from contextlib import suppress

import pytest
from gradio import ImageEditor
from gradio.state_holder import SessionState
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from nulltext.errors import ImageDecodeError

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"
)  # fmt: skip
META = {"_type": "gradio.FileData"}


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A file that is there once somebody has called Ghostscript."""
    marker, program = tmp_path / "ran", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntouch "{marker}"\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # it remembers what it has found
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return marker


@pytest.fixture
def uploaded(client):
    def upload(name):
        (path,) = client.post("/gradio_api/upload", files={"files": (name, EPS)}).json()
        return {"path": path, "meta": META}

    return upload


def test_the_program_would_be_found(ran):
    path = ran.parent / "a.eps"
    path.write_bytes(EPS)
    with pytest.raises(UnidentifiedImageError), Image.open(path) as image:
        image.load()
    assert ran.exists()


@pytest.mark.parametrize("name", ["a.eps", "a.png", "a.jpg", "a"])
def test_a_drawing_as_an_image_and_as_a_mask(client, ran, sample_prompt, name):
    answer = client.post("/api/inversions", files={"image": (name, EPS)}, data={"prompt": sample_prompt})
    assert answer.status_code == 400
    assert client.post("/api/edits", json={"job": "x", "prompt": sample_prompt, "mask": base64.b64encode(EPS).decode()})
    assert not ran.exists()


def test_a_drawing_as_the_mask_of_an_edit(client, ran, sample, sample_prompt):
    answer = client.post(
        "/api/inversions", files={"image": ("a.png", sample)}, data={"prompt": sample_prompt, "steps": "1"}
    )
    job = answer.json()["job"]
    while client.get(f"/api/jobs/{job}").json()["state"] in {"waiting", "running"}:
        time.sleep(0.02)
    answer = client.post(
        "/api/edits", json={"job": job, "prompt": sample_prompt, "mask": base64.b64encode(EPS).decode()}
    )
    assert answer.status_code == 400
    assert not ran.exists()


@pytest.mark.parametrize("name", ["a.eps", "layer_0.png"])
def test_a_drawing_in_every_field_of_the_page(blocks, ran, uploaded, name):
    """The library prepares what it was sent, a drawing wherever a file can stand."""
    file = uploaded(name)
    painted = {"background": file, "layers": [file], "composite": file, "id": None}
    prepared = 0
    for function in blocks.fns.values():
        for value in (file, painted):
            with suppress(Exception):  # most fields take no file
                asyncio.run(blocks.preprocess_data(function, [value] * len(function.inputs), SessionState(blocks)))
                prepared += 1
    assert prepared
    assert not ran.exists()


def test_the_paint_of_an_edit(blocks, ran, uploaded):
    """The one field that the library would open."""
    file = uploaded("layer_0.png")
    painted = {"background": file, "layers": [file], "composite": file, "id": None}
    (edit,) = [one for one in blocks.fns.values() if any(isinstance(field, ImageEditor) for field in one.inputs)]
    values = [painted if isinstance(field, ImageEditor) else None for field in edit.inputs]
    got = asyncio.run(blocks.preprocess_data(edit, values, SessionState(blocks)))
    assert file["path"] in str(got)
    assert not ran.exists()


def test_a_drawing_as_paint(handlers, client, person, known_files, workshop, ran):
    """Where the page's fields end up."""
    folder = workshop.people.root / "uploads" / "a"
    folder.mkdir()
    path = folder / "layer_0.png"
    path.write_bytes(EPS)
    known_files.note(person, f'["{path}"]'.encode(), listed=True)
    with pytest.raises(ImageDecodeError):
        handlers.painted(person, str(path))
    [*_, view] = handlers.open_upload(person, "tab", str(path))
    assert view.message
    assert not ran.exists()
