"""Runs: what their rows hold, and that a killed one goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from pyarrow import parquet

import nulltext
from nulltext import DDIM, PromptSwap, PromptToPrompt
from nulltext.bench.candidate import Candidate, always
from nulltext.bench.case import Case
from nulltext.bench.measures import measures_of
from nulltext.bench.rows import TIMED
from nulltext.bench.run import run
from nulltext.bench.table import SOURCE, TRUTH
from nulltext.errors import OutputWriteError
from nulltext.metrics import psnr

CANDIDATES = (
    Candidate(name="swap", inverter=always(DDIM(steps=2)), editor=always(PromptSwap(guidance=2.0))),
    Candidate(name="p2p", inverter=always(DDIM(steps=2)), editor=always(PromptToPrompt(guidance=2.0)), inverts=False),
    Candidate(name="again", inverter=always(DDIM(steps=2)), editor=None, guidance=3.0),
)
MEASURES = measures_of((*SOURCE, *TRUTH))


def case(name: str, image: Image.Image, target: str = "a dog on grass", **known: object) -> Case:
    empty = {"kind": "", "changed": None, "blend": None, "truth": None, "words": {}, "seed": 3}
    return Case(name=name, image=image, source="a cat on grass", target=target, **{**empty, **known})


@pytest.fixture
def cases(image: Image.Image) -> list[Case]:
    other = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left = Image.new("L", image.size)
    left.paste(255, (0, 0, image.width // 2, image.height))
    return [
        case("first", image, kind="thing", truth=other, changed=left),
        case("second", image, "a red cat on grass", kind="colour"),
        case("third", other),
    ]


def test_a_row_for_every_case_and_method(model, cases, tmp_path):
    rows = run(model, cases, CANDIDATES, MEASURES, tmp_path)
    assert [(row["case"], row["method"]) for row in rows] == [
        (name, method) for name in ("first", "second", "third") for method in ("swap", "p2p", "again")
    ]
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    first = rows[0]
    assert (first["source"], first["target"], first["kind"]) == ("a cat on grass", "a dog on grass", "thing")
    assert first["inverter"] == "DDIM(steps=2, guidance=1.0, negative_prompt='', fixed_point=None)"
    assert first["model"] == model.identity.id
    assert first["revision"] == model.identity.revision
    assert first["nulltext"] == nulltext.__version__
    assert first["torch"] == torch.__version__
    assert first["seed"] == 3
    assert isinstance(first["psnr_outside"], float)


def test_the_figures_are_those_of_the_methods(model, cases, tmp_path):
    rows = {(row["case"], row["method"]): row for row in run(model, cases, CANDIDATES, MEASURES, tmp_path)}
    source_image = nulltext.open_image(cases[2].image, model)
    inversion = DDIM(steps=2)(model, source_image, "a cat on grass")
    edit = PromptToPrompt(guidance=2.0)(model, inversion, "a dog on grass")
    assert rows["third", "p2p"]["psnr_source"] == pytest.approx(psnr(edit.pixels, source_image.pixels), abs=1e-4)
    again = nulltext.reconstruct(model, inversion, 3.0)
    assert rows["third", "again"]["psnr_source"] == pytest.approx(psnr(again, source_image.pixels), abs=1e-4)


def test_what_could_not_be_measured_says_why(model, cases, tmp_path):
    row = run(model, cases[2:], CANDIDATES[:1], MEASURES, tmp_path)[0]
    assert row["psnr_truth"] is None
    assert row["psnr_outside"] is None
    assert "not known" in json.loads(str(row["missing"]))["psnr_truth"]


def test_costs_are_a_methods_own(model, cases, tmp_path):
    rows: Any = run(model, cases[:1], CANDIDATES, {}, tmp_path)
    swap, p2p, again = rows
    assert swap["invert_forwards"] == again["invert_forwards"] == 4  # to noise and back
    assert p2p["invert_forwards"] == 0
    assert swap["edit_forwards"] == p2p["edit_forwards"] == 8  # two steps of two images, each with both prompts
    assert again["edit_forwards"] == 4
    assert swap["seconds"] == pytest.approx(swap["invert_seconds"] + swap["edit_seconds"])
    assert p2p["seconds"] == p2p["edit_seconds"]


def test_one_image_is_inverted_once(model, cases, tmp_path, monkeypatch):
    calls: list[str] = []
    invert = DDIM.__call__

    def counting(self, model, source_image, prompt, on_progress):
        calls.append(prompt)
        return invert(self, model, source_image, prompt, on_progress)

    monkeypatch.setattr(DDIM, "__call__", counting)
    run(model, cases, CANDIDATES, {}, tmp_path)
    assert len(calls) == 2  # `first` and `second` share an image
    run(model, cases, CANDIDATES, {}, tmp_path)
    run(model, cases, CANDIDATES, {}, tmp_path, workers=2)
    assert len(calls) == 2  # nothing is done twice
    run(model, [*cases, case("fourth", cases[0].image)], CANDIDATES, {}, tmp_path)
    assert len(calls) == 3  # a longer run keeps what it shares
    run(model, cases, [replace(CANDIDATES[0], inverter=always(DDIM(steps=3)))], {}, tmp_path)
    assert len(calls) == 5  # another one shares nothing


def test_images_to_look_at(model, cases, tmp_path):
    run(model, cases, CANDIDATES, {}, tmp_path, samples=1)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "first.again.png",
        "first.p2p.png",
        "first.source.png",
        "first.swap.png",
    ]


def test_a_folder_that_cannot_be_made(model, cases, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputWriteError, match="Choose another"):
        run(model, cases, CANDIDATES, {}, tmp_path / "file")


SCRIPT = """
import sys
from pathlib import Path

import nulltext
from nulltext import DDIM, PromptSwap
from nulltext.bench.cases.scenes import scene_cases
from nulltext.bench.measures import measures_of
from nulltext.bench.candidate import Candidate, always
from nulltext.bench.run import run
from nulltext.bench.table import SOURCE

cases = scene_cases(4)[::5]
swap = Candidate(name="swap", inverter=always(DDIM(steps=4)), editor=always(PromptSwap(guidance=2.0)))
model, measures = nulltext.load(), measures_of(SOURCE)
for folder in sys.argv[1:]:
    run(model, cases, [swap], measures, Path(folder))
"""


def test_a_killed_run_goes_on(tmp_path, monkeypatch, loaded_once):
    """kill -9 in the middle; the same script then makes the same Parquet, and repeats one image's work at most."""
    command = [sys.executable, "-c", SCRIPT]
    rows = tmp_path / "killed" / "rows"
    running = subprocess.Popen([*command, tmp_path / "killed"])
    until = time.monotonic() + 120
    while len(list(rows.glob("*.json"))) < 2:
        assert time.monotonic() < until, "no two rows came"
        assert running.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    done = {path: path.stat().st_mtime_ns for path in rows.glob("*.json")}
    assert 2 <= len(done) < 4
    assert not (tmp_path / "killed" / "rows.parquet").exists()
    monkeypatch.setattr(sys, "argv", ["", tmp_path / "killed", tmp_path / "whole"])
    exec(SCRIPT, {})  # noqa: S102  our own, once more
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())  # none of it was made again

    def table(name: str) -> list[dict[str, object]]:
        found = parquet.read_table(tmp_path / name / "rows.parquet").drop_columns(list(TIMED))
        return found.to_pylist()

    assert table("killed") == table("whole")
