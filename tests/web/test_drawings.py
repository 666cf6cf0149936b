"""A drawing is a program: no way in hands it to one that runs it."""

import base64
import os

import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError
from tests.web.visitor import edit, made, start

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"
)  # fmt: skip


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


def test_the_program_would_be_found(ran):
    path = ran.parent / "a.eps"
    path.write_bytes(EPS)
    with pytest.raises(UnidentifiedImageError), Image.open(path) as image:
        image.load()
    assert ran.exists()


@pytest.mark.parametrize("name", ["a.eps", "a.png", "a.jpg", "a", "layer_0.png"])
def test_a_drawing_as_an_image(client, ran, sample_prompt, name):
    assert start(client, EPS, sample_prompt, name=name).status_code == 400
    assert not ran.exists()


def test_a_drawing_as_the_mask_of_an_edit(client, ran, sample, sample_prompt):
    (node,) = made(client, start(client, sample, sample_prompt, steps=1))
    answer = edit(client, node["id"], sample_prompt, mask=base64.b64encode(EPS).decode())
    assert answer.status_code == 400
    assert not ran.exists()
