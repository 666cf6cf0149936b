"""What the commands write: every name that can be given for it is checked before any work."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from nulltext.cli.app import app

WRONG = {
    ("invert", "--output"): "x.png",
    ("edit", "--output"): "x.safetensors",
    ("edit", "--reconstruction"): "x.safetensors",
    ("sweep", "--output"): "x.safetensors",
    ("show", "--image"): "x.safetensors",
    ("generate", "--output"): "x.safetensors",
    ("generate", "--save"): "x.png",
    ("demo", "--output"): "x.png",
    ("train", "FOLDER"): "x.safetensors",
    ("train", "--work"): "x.png",
    ("bench speed", "--output"): "x.png",
    ("bench seeds", "--output"): "x.html",
    ("bench guidance", "--output"): "x.html",
    ("bench methods", "--output"): "x.html",
    ("bench compare", "--output"): "x.html",
    ("bench ablation", "--output"): "x.html",
    ("bench pie", "--output"): "x.html",
    ("bench reconstruction", "--output"): "x.html",
    ("bench edits", "--output"): "x.html",
    ("bench settings", "--output"): "x.html",
    ("bench presets", "--output"): "x.html",
    ("bench frontier", "--output"): "x.html",
    ("bench full-size", "--record"): "x.html",
}
"""A name with another's suffix, for every option of every command that names what is written."""

GIVEN = {
    "invert": ("nowhere.jpg", "a cat"),
    "edit": ("nowhere.safetensors", "a cat"),
    "sweep": ("nowhere.safetensors", "a cat", "--over", "self=0,1"),
    "show": ("nowhere.safetensors",),
    "generate": ("a cat",),
    "bench pie": ("--data", "nowhere"),
}
"""What else a command asks for: no such files, so that whoever looks at them first says something else."""


def outputs(command: Any = None, name: str = "") -> Iterator[tuple[str, str]]:
    """Every option, and argument, of every command that takes a path and is no input."""
    command = command or typer.main.get_command(app)
    for sub, of_it in getattr(command, "commands", {}).items():
        yield from outputs(of_it, f"{name} {sub}".strip())
    hints = {} if command.callback is None else get_type_hints(command.callback)
    for parameter in command.params:
        if hints.get(parameter.name) in {Path, Path | None} and parameter.name not in INPUTS:
            yield name, next((spelt for spelt in parameter.opts if spelt.startswith("--")), parameter.metavar)


INPUTS = {"file", "source", "mask", "data", "clip", "folder"}
"""Paths that are read; `folder` is where the app keeps its own files."""


def test_no_output_is_missing_from_the_list():
    assert set(outputs()) == WRONG.keys()


@pytest.mark.parametrize(("command", "option"), WRONG)
def test_a_name_with_the_wrong_suffix(command, option, run, here):
    given = WRONG[command, option]
    asked = [given] if option.isupper() else [option, given]
    if (command, option) == ("train", "--work"):
        asked = ["model", *asked]
    result = run(*command.split(), *GIVEN.get(command, ()), *asked)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: got {given}")
    assert "expected a" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device"])
def test_force_is_for_files_alone(kind, run, here, tmp_path, inverted):
    name, node = here / "x.png", tmp_path / "node.png"
    if kind == "pipe":
        os.mkfifo(name)
    elif os.geteuid():
        pytest.skip("only root makes devices")
    else:
        os.mknod(node if "link" in kind else name, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    if "link" in kind:
        name.symlink_to(node)
    before = name.lstat()
    result = run("show", inverted, "--image", name, "--force")
    assert result.exit_code == 2, result.output
    assert f"is a {kind.removeprefix('link to a ')}" in result.stderr
    assert name.lstat().st_ino == before.st_ino
    assert not node.is_file()


def test_force_through_a_link_writes_what_it_names(run, here, inverted):
    target = here / "images" / "y.png"
    target.parent.mkdir()
    target.write_bytes(b"old")
    (here / "x.png").symlink_to(Path("images") / "y.png")
    assert run("show", inverted, "--image", "x.png").exit_code == 2
    assert run("show", inverted, "--image", "x.png", "--force").exit_code == 0
    assert (here / "x.png").is_symlink()
    assert target.read_bytes().startswith(b"\x89PNG")
