"""Files that this package and those before it have written, of every version of the format, read and drawn.

Each was made once, by the embedded model at T = 4 from one scene, and is never made anew: a change after which one of
them cannot be read, or is drawn otherwise, breaks the files that people have kept.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from nulltext import Inversion, Replay, reconstruct
from nulltext.images import to_pixels
from nulltext.inversion import file
from nulltext.metrics import psnr

GOLDEN = Path(__file__).with_name("golden")
FILES = sorted(path.name for path in GOLDEN.glob("*.safetensors"))


@pytest.fixture
def scenes(embedded):
    return embedded


def test_there_are_files_of_every_version():
    assert {name.partition("-")[0] for name in FILES} == {str(one + 1) for one in range(file.FORMAT_VERSION)}


@pytest.mark.parametrize("name", FILES)
def test_it_is_drawn_as_well_as_it_says(name, scenes):
    inversion = Inversion.load(GOLDEN / name)
    output = reconstruct(scenes, inversion)
    assert psnr(output, to_pixels(inversion.image)) == pytest.approx(inversion.scores.psnr, abs=0.1)


@pytest.mark.parametrize("name", [name for name in FILES if "before" not in name and "direct" in name])
def test_what_it_says_depends_on_how_it_is_read(name, scenes):
    inversion = Inversion.load(GOLDEN / name)
    output = reconstruct(scenes, replace(inversion, replay=Replay()))
    assert psnr(output, to_pixels(inversion.image)) < inversion.scores.psnr - 1


def entries(record, of=""):
    """The names in a record and in those within it; the settings are each method's own."""
    if isinstance(record, list):
        record = record[0] if record and isinstance(record[0], dict) else {}
    if isinstance(record, dict) and of != "settings":
        for name, value in record.items():
            yield f"{of}.{name}".lstrip(".")
            yield from entries(value, f"{of}.{name}".lstrip("."))


def test_what_a_file_holds_changes_with_the_version_alone(tmp_path):
    """Raise `FORMAT_VERSION`, put files of the new version here, and add a line to entries.json."""
    inversion = Inversion.load(GOLDEN / "2-null-text.safetensors")
    both = replace(inversion.replay, cond=torch.zeros_like(inversion.replay.nulls[0]))
    whole = replace(inversion, replay=both, method="Another")
    with safe_open(whole.save(tmp_path / "a.safetensors"), framework="pt") as opened:
        metadata, tensors = opened.metadata(), sorted(opened.keys())
    plain = {"format", "format_version", "digest"}
    assert plain <= metadata.keys()
    record = {name: json.loads(value) for name, value in metadata.items() if name not in plain}
    known = json.loads((GOLDEN / "entries.json").read_text())
    assert known[metadata["format_version"]] == {"tensors": tensors, "record": sorted(entries(record))}
