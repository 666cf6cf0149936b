"""`nulltext train`: the whole recipe from the command line, on a handful of images and no time."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from nulltext.training.checkpoint import read_stamp

TINY = ("--images", 128, "--hours", 0.0001, "--limit", 1, "--work", "work")


def test_train_writes_a_measured_checkpoint_and_does_not_overwrite_it(run, run_json, here):
    figures = run_json("train", "scenes", *TINY)  # where that is a folder, not the embedded model
    assert figures["pictures"] == figures["generated"] == 1
    assert figures["vae_psnr_scenes"] < 20, "measured the embedded model"
    stamped: Any = read_stamp(here / "scenes")
    assert stamped["scores"] == figures
    assert stamped["recipe"]["images"] == 128
    assert {path.name for path in here.iterdir()} == {"scenes", "work"}
    again = run("train", "scenes", *TINY)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    other = run("train", "other", *TINY, "--seed", 1)
    assert other.exit_code == 2
    assert "begun with" in other.stderr
    assert "--work" in other.stderr
    assert not (here / "other").exists()


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_train_does_not_touch_a_folder_of_something_else(run, here, force):
    (here / "papers").mkdir()
    (here / "papers" / "thesis.txt").write_text("mine")
    (here / "papers" / "model_index.json").write_text("{}")
    result = run("train", "papers", *TINY, *force)
    assert result.exit_code == 2
    assert {path.name for path in (here / "papers").iterdir()} == {"thesis.txt", "model_index.json"}
    assert [path.name for path in here.iterdir()] == ["papers"]


def test_train_says_at_once_what_would_stop_it_after_hours(run, here, monkeypatch):
    (here / "file").write_bytes(b"")
    for args, message in (
        (("model", "--start", "nowhere"), "no checkpoint"),
        (("file/model",), "is a file"),
        ((".", "--work", "work"), "will be replaced"),
    ):
        (here / "empty").mkdir(exist_ok=True)
        monkeypatch.chdir(here / "empty" if args[0] == "." else here)
        result = run("train", *args, *(TINY if args[0] != "." else TINY[:-2]))
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
    monkeypatch.chdir(here)
    monkeypatch.setitem(sys.modules, "skimage", None)
    result = run("train", "model", *TINY)
    assert result.exit_code == 2
    assert "nulltext[bench]" in result.stderr
    assert {path.name for path in here.rglob("*")} == {"file", "empty"}


def test_ctrl_c_leaves_nothing_half_written(here, program, environment):
    # A shell starts background jobs with Ctrl-C ignored, and the tests may be one: a terminal's default is meant here.
    inherited = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [*program, "train", "model", "--images", "128", "--hours", "100", "--work", "work"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, inherited)
    while not (here / "work" / "images" / "scenes-128-00000.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that were started there
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "Stopped. Nothing half-written was left behind."
    assert "KeyboardInterrupt" not in stderr
    assert stdout == ""
    assert [path.name for path in here.iterdir()] == ["work"]
    assert not list(here.rglob("*.part"))
